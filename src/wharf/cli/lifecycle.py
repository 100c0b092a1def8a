"""Verbs that change what containers do: stop, restart, kill, pause, unpause, rm, wait, rename."""

from __future__ import annotations

from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MANY = "CONTAINER [CONTAINER...]"
_STOP_FLAGS = (
    ("signal", "s", "string", "Signal to send to the container"),
    ("time", "", "int", "Seconds to wait before killing the container (the older name of --timeout)"),
    ("timeout", "t", "int", "Seconds to wait before killing the container"),
)


def _command(
    name: str, usage: str, summary: str, flags: Any = (), operands: tuple[int, int] = (1, ANY), example: str = ""
) -> Command:
    return Command(
        name, usage, summary, flags, operands=operands, example=example, aliases=f"wharf container {name}, wharf {name}"
    )


STOP = _command(
    "stop", f"[OPTIONS] {_MANY}", "Stop one or more running containers", _STOP_FLAGS, example="wharf stop -t 3 web"
)
RESTART = _command(
    "restart", f"[OPTIONS] {_MANY}", "Restart one or more containers", _STOP_FLAGS, example="wharf restart web"
)
KILL = _command(
    "kill",
    f"[OPTIONS] {_MANY}",
    "Kill one or more running containers",
    (("signal", "s", "string", "Signal to send to the container"),),
    example="wharf kill -s HUP web",
)
PAUSE = _command("pause", _MANY, "Pause all processes within one or more containers", example="wharf pause web")
UNPAUSE = _command("unpause", _MANY, "Unpause all processes within one or more containers", example="wharf unpause web")
WAIT = _command(
    "wait", _MANY, "Block until one or more containers stop, then print their exit codes", example="wharf wait job"
)
RENAME = _command(
    "rename", "CONTAINER NEW_NAME", "Rename a container", operands=(2, 2), example="wharf rename web web2"
)
RM = _command(
    "rm",
    f"[OPTIONS] {_MANY}",
    "Remove one or more containers",
    (
        ("force", "f", "bool", "Force the removal of a running container (uses SIGKILL)"),
        ("link", "l", "bool", "Remove the specified link"),
        ("volumes", "v", "bool", "Remove anonymous volumes associated with the container"),
    ),
    example="wharf rm -f -v web",
)


def _poster(session: Session, verb: str, **parameters: Any) -> Callable[[str], Any]:
    return lambda name: session.client().post(f"/containers/{name}/{verb}", **parameters)


def _stop_like(session: Session, command: Command, args: list[str]) -> int:
    flags, names = command.parse(args)
    seconds = flags.get("timeout", flags.get("time"))
    text = None if seconds is None else str(seconds)
    return session.each(names, _poster(session, command.name, t=text, signal=flags.get("signal")))


def stop(session: Session, args: list[str]) -> int:
    """Stops containers: their stop signal, a grace, then SIGKILL."""
    return _stop_like(session, STOP, args)


def restart(session: Session, args: list[str]) -> int:
    """Stops and starts containers."""
    return _stop_like(session, RESTART, args)


def kill(session: Session, args: list[str]) -> int:
    """Sends a signal."""
    flags, names = KILL.parse(args)
    return session.each(names, _poster(session, "kill", signal=flags.get("signal")))


def pause(session: Session, args: list[str]) -> int:
    """Freezes containers."""
    return session.each(PAUSE.parse(args)[1], _poster(session, "pause"))


def unpause(session: Session, args: list[str]) -> int:
    """Thaws containers."""
    return session.each(UNPAUSE.parse(args)[1], _poster(session, "unpause"))


def wait(session: Session, args: list[str]) -> int:
    """Prints exit statuses as the containers end."""

    def wait_one(name: str) -> None:
        session.line(str(session.client().post(f"/containers/{name}/wait")["StatusCode"]))

    return session.each(WAIT.parse(args)[1], wait_one, show=False)


def rename(session: Session, args: list[str]) -> int:
    """Gives a container another name."""
    _, (old, new) = RENAME.parse(args)
    if not old.strip() or not new.strip():
        raise ExitWith("Error: Neither old nor new names may be empty")
    try:
        session.client().post(f"/containers/{old}/rename", name=new)
    except ApiError as error:
        session.complain(session.words(error))
        raise ExitWith(f"Error: failed to rename container named {old}") from None
    return 0


def rm(session: Session, args: list[str]) -> int:
    """Removes containers; with --force one that is not there is said, but no failure."""
    flags, names = RM.parse(args)
    force = flags.get("force", False)
    status = 0
    for name in names:
        name = name.strip("/")
        if not name:
            raise ExitWith("Container name cannot be empty")
        try:
            session.client().delete(f"/containers/{name}", force=force, v=flags.get("volumes"), link=flags.get("link"))
        except ApiError as error:
            session.complain(session.words(error))
            status = status if force and error.status == 404 else 1
        else:
            session.line(name)
    return status
