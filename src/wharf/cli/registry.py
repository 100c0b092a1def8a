"""`wharf registry …`: becomes the registry server's own program, which reads the rest of the command line."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wharf.cli.session import Session


def registry(session: Session, args: list[str]) -> int:
    """Does not return: the server is a program of its own."""
    program = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "wharf-registry")
    command = [program] if os.access(program, os.X_OK) else [sys.executable, "-m", "wharf.registryd"]
    sys.stdout.flush()
    os.execv(command[0], [*command, *(args or ["--help"])])
