"""`wharf debug`: a shell with tools beside a container that has none.

Another container that shares the first one's processes, network and, where that is allowed, IPC; the first one's files
are at /target (a link to /proc/1/root, which needs the right to trace). It goes when the shell ends; the container that
is looked at is not changed.
"""

from __future__ import annotations

import sys

from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

IMAGE = "busybox"
COMMAND = Command(
    "debug",
    "[OPTIONS] CONTAINER [COMMAND] [ARG...]",
    "Open a shell with tools beside a running container; its files are at /target",
    (("image", "", "string", f"Where the tools come from (default {IMAGE})"),),
    operands=(1, ANY),
    interspersed=False,
    example="wharf debug web",
)
_SCRIPT = 'ln -s /proc/1/root /target && cd /target/ || exit 1; if [ $# -gt 0 ]; then exec "$@"; fi; exec sh'


def debug(session: Session, args: list[str]) -> int:
    """Runs the command, or a shell, in a container of its own; the status is the command's."""
    from wharf.cli.run import run

    flags, (name, *command) = COMMAND.parse(args)
    client = session.client()
    client.require_wharf("debug")
    found = client.get(f"/containers/{quote(name)}/json")
    if not found["State"]["Running"]:
        raise ExitWith(f"container {name} is not running: wharf cp and wharf export read its files")
    terminal = not command and sys.stdin.isatty() and sys.stdout.isatty()
    options = [*_beside(found), "-it" if terminal else "-i", "--label", f"wharf.debug={found['Id']}"]
    image = flags.get("image", IMAGE)
    return run(session, [*options, "--entrypoint", "sh", image, "-c", _SCRIPT, "debug", *command])


def _beside(found: dict[str, Any]) -> list[str]:
    """The options of `run` that put a container next to this one, with rights that are at least as large."""
    identity, host = found["Id"], found["HostConfig"]
    options = ["--rm", "--pull", "never", "--user", "0", "--cap-add", "SYS_PTRACE"]
    options += ["--pid", "host" if host.get("PidMode") == "host" else f"container:{identity}"]
    options += ["--network", f"container:{identity}"]
    if host.get("IpcMode") in ("shareable", "host") or str(host.get("IpcMode")).startswith("container:"):
        options += ["--ipc", "host" if host["IpcMode"] == "host" else f"container:{identity}"]
    options += ["--privileged"] if host.get("Privileged") else []
    for capability in host.get("CapAdd") or []:
        options += ["--cap-add", capability]
    options += ["--userns", host["UsernsMode"]] if host.get("UsernsMode") else []
    return options
