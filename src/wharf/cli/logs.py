"""`wharf logs`."""

from wharf.cli import streams, units
from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query

COMMAND = Command(
    "logs",
    "[OPTIONS] CONTAINER",
    "Fetch the logs of a container",
    (
        ("details", "", "bool", "Show extra details provided to logs"),
        ("follow", "f", "bool", "Follow log output"),
        ("since", "", "string", "Show logs since timestamp (e.g. '2013-01-02T13:23:37Z') or relative (e.g. '42m')"),
        ("tail", "n", "string", "Number of lines to show from the end of the logs (default 'all')"),
        ("timestamps", "t", "bool", "Show timestamps"),
        ("until", "", "string", "Show logs before a timestamp or relative (e.g. '42m' for 42 minutes)"),
    ),
    operands=(1, 1),
    example="wharf logs -f --tail 20 web",
    aliases="wharf container logs, wharf logs",
)


def logs(session: Session, args: list[str]) -> int:
    """Prints a container's log, both streams where they belong."""
    flags, (name,) = COMMAND.parse(args)
    client = session.client()
    container = client.get(f"/containers/{name}/json")
    parameters = {
        "stdout": True,
        "stderr": True,
        "follow": flags.get("follow"),
        "timestamps": flags.get("timestamps"),
        "details": flags.get("details"),
        "tail": flags.get("tail", "all"),
        "since": _instant("since", flags.get("since", "")),
        "until": _instant("until", flags.get("until", "")),
    }
    response = client.request("GET", f"/containers/{container['Id']}/logs" + query(parameters))
    frames = None if container["Config"]["Tty"] else streams.Frames()
    while data := response.read(streams.RECEIVE):
        for descriptor, run in frames.feed(data) if frames else [(1, data)]:
            streams.write_all(descriptor, run)
    return 0


def _instant(flag: str, text: str) -> str:
    try:
        return units.timestamp(text) if text else ""
    except ValueError as error:
        raise ExitWith(f'invalid value for "{flag}": {error}') from None
