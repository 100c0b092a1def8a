"""What containers show of themselves: port, diff, top."""

from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session
from wharf.cli.table import align

PORT = Command(
    "port",
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    operands=(1, 2),
    example="wharf port web 80/tcp",
    aliases="wharf container port, wharf port",
)
DIFF = Command(
    "diff",
    "CONTAINER",
    "Inspect changes to files or directories on a container's filesystem",
    operands=(1, 1),
    example="wharf diff web",
    aliases="wharf container diff, wharf diff",
)
TOP = Command(
    "top",
    "CONTAINER [ps OPTIONS]",
    "Display the running processes of a container",
    operands=(1, ANY),
    interspersed=False,
    example="wharf top web -o pid,args",
    aliases="wharf container top, wharf top",
)
_KINDS = {0: "C", 1: "A", 2: "D"}


def port(session: Session, args: list[str]) -> int:
    """Prints published addresses, all or those of one port."""
    _, (name, *wanted) = PORT.parse(args)
    container = session.client().get(f"/containers/{name}/json")
    ports = container["NetworkSettings"].get("Ports") or {}
    if wanted:
        number, _, protocol = wanted[0].partition("/")
        bindings = ports.get(f"{number}/{protocol or 'tcp'}")
        if not bindings:
            raise ExitWith(f"Error: No public port '{wanted[0]}' published for {name}")
        lines = [_address(binding) for binding in bindings]
    else:
        lines = [f"{inner} -> {_address(binding)}" for inner in ports for binding in ports[inner] or []]
    session.write("".join(f"{line}\n" for line in sorted(lines, key=_natural)))
    return 0


def _address(binding: dict[str, str]) -> str:
    host = binding["HostIp"]
    return f"{f'[{host}]' if ':' in host else host}:{binding['HostPort']}"


def _natural(text: str) -> list[tuple[int, int]]:
    """Sort key: runs of digits by their number, everything else by its character."""
    parts, digits = [], ""
    for character in text + " ":
        if character.isdigit():
            digits += character
            continue
        if digits:
            parts.append((ord("0"), int(digits)))
            digits = ""
        parts.append((ord(character), 0))
    return parts


def diff(session: Session, args: list[str]) -> int:
    """Prints what changed in a container's file system."""
    _, (name,) = DIFF.parse(args)
    for change in session.client().get(f"/containers/{name}/changes") or []:
        session.line(f"{_KINDS.get(change['Kind'], '?')} {change['Path']}")
    return 0


def top(session: Session, args: list[str]) -> int:
    """Prints the processes of a container as the host's ps shows them."""
    _, (name, *options) = TOP.parse(args)
    answer = session.client().get(f"/containers/{name}/top", ps_args=" ".join(options))
    session.write(align([answer["Titles"], *answer["Processes"]], minimum=20, padding=3))
    return 0
