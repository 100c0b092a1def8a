"""The command runs from a sealed copy of the interpreter whenever a child of it will enter a container.

What runs in a container may look at /proc/<pid>/exe of a process that enters it: it finds this copy, which nobody
can write, and never the host's interpreter. Standard library paths stay what they are (-I -S: nothing else).
"""

import os
import sys

from wharf.runtime.spawn import sealed_interpreter

_CODE = "import sys; sys.path.insert(0, sys.argv.pop(1)); from wharf.ocicommand import main; main()"


def is_sealed() -> bool:
    """Whether this process runs from a copy already."""
    return os.readlink("/proc/self/exe").startswith("/memfd:")


def run_sealed(arguments: list[str]) -> None:
    """Execute this command again from a sealed copy, with the same descriptors, environment and arguments."""
    interpreter = sealed_interpreter()
    os.execve(f"/proc/self/fd/{interpreter}", [*own_command(), *arguments], dict(os.environ))


def own_command() -> tuple[str, ...]:
    """The command with this interpreter, however it was installed: program and first arguments."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    return (sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, package)
