"""`wharf registry …` and `wharf image serve`: become the registry server's own program, which reads the rest."""

from __future__ import annotations

import os
import sys

from wharf.cli.flags import Command
from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from wharf.cli.session import Session


SERVE = Command(
    "image serve",
    "[OPTIONS]",
    "Let others pull this engine's images: a registry, read only, over its store",
    (
        ("access-log", "", "string:file", 'A JSON object a request; "-" is standard output'),
        ("addr", "", "string:host:port", "Where to listen (default 127.0.0.1:5001)"),
        ("htpasswd", "", "string:file", "Who may pull: bcrypt entries of a htpasswd file (default: everybody)"),
        ("tls-cert", "", "string:file", "Certificate (PEM)"),
        ("tls-key", "", "string:file", "Key of the certificate (PEM)"),
    ),
    example="wharf image serve --addr 127.0.0.1:5001",
)


def registry(session: Session, args: list[str]) -> NoReturn:
    """Does not return: the server is a program of its own."""
    _become(args or ["--help"])


def serve(session: Session, args: list[str]) -> NoReturn:
    """Does not return. The daemon says where its store is; the store must be on this machine."""
    flags, _ = SERVE.parse(args)
    client = session.client()
    client.require_wharf("image serve")
    if not client.address.path:
        raise ExitWith(f"wharf image serve reads the store of a daemon on this machine, not of {client.address}")
    root = client.get("/info")["DockerRootDir"]
    given = [f"--{name}={value}" for name, value in flags.items()]
    _become(["images", "--root", root, *given])


def _become(args: list[str]) -> NoReturn:
    program = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "wharf-registry")
    command = [program] if os.access(program, os.X_OK) else [sys.executable, "-m", "wharf.registryd"]
    sys.stdout.flush()
    os.execv(command[0], [*command, *args])
