"""`wharf exec`."""

from __future__ import annotations

import os

from wharf.cli import streams
from wharf.cli.environment import environment, variable
from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND = Command(
    "exec",
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Execute a command in a running container",
    (
        ("detach", "d", "bool", "Detached mode: run command in the background"),
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("env", "e", "list", "Set environment variables"),
        ("env-file", "", "list", "Read in a file of environment variables"),
        ("interactive", "i", "bool", "Keep STDIN open even if not attached"),
        ("privileged", "", "bool", "Give extended privileges to the command"),
        ("tty", "t", "bool", "Allocate a pseudo-TTY"),
        ("user", "u", "string", "Username or UID (format: '<name|uid>[:<group|gid>]')"),
        ("workdir", "w", "string", "Working directory inside the container"),
    ),
    operands=(2, ANY),
    interspersed=False,
    checks={"env": variable},
    example="wharf exec -it -u root web sh",
    aliases="wharf container exec, wharf exec",
)


def exec(session: Session, args: list[str]) -> int:
    """Runs a command in a running container; the exit status is the command's."""
    flags, (container, *command) = COMMAND.parse(args)
    detach, tty = flags.get("detach", False), flags.get("tty", False)
    stdin = flags.get("interactive", False) and not detach
    if stdin and tty and not os.isatty(0):
        raise ExitWith("the input device is not a TTY")
    size = streams.terminal_size() if tty else None
    body: dict[str, Any] = {
        "User": flags.get("user", ""),
        "Privileged": flags.get("privileged", False),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "Detach": detach,
        "DetachKeys": flags.get("detach-keys", ""),
        "Env": environment(flags.get("env-file", []), flags.get("env", [])),
        "WorkingDir": flags.get("workdir", ""),
        "Cmd": command,
        **({"ConsoleSize": list(size)} if size else {}),
    }
    client = session.client()
    exec_id = client.post(f"/containers/{container}/exec", body)["Id"]
    start: dict[str, Any] = {"Detach": detach, "Tty": tty, **({"ConsoleSize": list(size)} if size else {})}
    if detach:
        client.post(f"/exec/{exec_id}/start", start)
        return 0
    connection, _ = client.hijack(f"/exec/{exec_id}/start", start)
    try:
        if size:
            from wharf.cli.signals import follow_window

            follow_window(client, f"/exec/{exec_id}")
        keys = flags.get("detach-keys") or streams.DEFAULT_DETACH_KEYS
        with streams.RawTerminal(tty and stdin):
            if streams.pump(connection, tty=tty, stdin=stdin, detach_keys=keys):
                return 0
    finally:
        connection.close()
    return int(client.get(f"/exec/{exec_id}/json").get("ExitCode") or 0)
