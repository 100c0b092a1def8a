"""`wharf start` and `wharf attach`."""

import os

from wharf.cli.attachment import Attachment
from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session

START = Command(
    "start",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start one or more stopped containers",
    (
        ("attach", "a", "bool", "Attach STDOUT/STDERR and forward signals"),
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("interactive", "i", "bool", "Attach container's STDIN"),
    ),
    operands=(1, ANY),
    example="wharf start -ai shell",
    aliases="wharf container start, wharf start",
)
ATTACH = Command(
    "attach",
    "[OPTIONS] CONTAINER",
    "Attach local standard input, output, and error streams to a running container",
    (
        ("detach-keys", "", "string", "Override the key sequence for detaching a container"),
        ("no-stdin", "", "bool", "Do not attach STDIN"),
        ("sig-proxy", "", "bool", "Proxy all received signals to the process (default true)"),
    ),
    operands=(1, 1),
    example="wharf attach --no-stdin web",
    aliases="wharf container attach, wharf attach",
)


def start(session: Session, args: list[str]) -> int:
    """Starts containers; with -a or -i one only, attached."""
    flags, names = START.parse(args)
    if flags.get("attach") or flags.get("interactive"):
        if len(names) > 1:
            raise ExitWith("you cannot start and attach multiple containers at once")
        return _attached(session, names[0], flags.get("interactive", False), flags.get("detach-keys", ""))
    failed: list[str] = []

    def start_one(name: str) -> None:
        failed.append(name)
        session.client().post(f"/containers/{name}/start")
        failed.pop()

    if session.each(names, start_one):
        raise ExitWith(f"Error: failed to start containers: {', '.join(failed)}")
    return 0


def _attached(session: Session, name: str, interactive: bool, keys: str) -> int:
    client = session.client()
    container = client.get(f"/containers/{name}/json")
    config = container["Config"]
    stdin = interactive and config["OpenStdin"]
    condition = "removed" if container["HostConfig"]["AutoRemove"] else "next-exit"
    tty = config["Tty"]
    attachment = Attachment(client, container["Id"], tty=tty, stdin=stdin, stdout=True, stderr=True, detach_keys=keys)
    with attachment, attachment.waiting(condition) as waiter:
        if not tty:
            from wharf.cli.signals import forward

            forward(client, container["Id"])
        client.post(f"/containers/{container['Id']}/start")
        return 0 if attachment.pump() else waiter.status()


def attach(session: Session, args: list[str]) -> int:
    """Attaches to a running container; its exit status, 0 after detaching."""
    flags, (name,) = ATTACH.parse(args)
    client = session.client()
    container = client.get(f"/containers/{name}/json")
    state, config = container["State"], container["Config"]
    if not state["Running"]:
        raise ExitWith("cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise ExitWith("cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise ExitWith("cannot attach to a restarting container, wait until it is running")
    stdin = not flags.get("no-stdin", False) and config["OpenStdin"]
    tty = config["Tty"]
    if stdin and tty and not os.isatty(0):
        raise ExitWith("the input device is not a TTY")
    attachment = Attachment(
        client,
        container["Id"],
        tty=tty,
        stdin=stdin,
        stdout=True,
        stderr=True,
        detach_keys=flags.get("detach-keys", ""),
    )
    with attachment, attachment.waiting("") as waiter:
        if flags.get("sig-proxy", True) and not tty:
            from wharf.cli.signals import forward

            forward(client, container["Id"])
        return 0 if attachment.pump(redraw=True) else waiter.status()
