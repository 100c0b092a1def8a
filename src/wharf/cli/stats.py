"""`wharf stats`: what containers use, now or every second."""

from __future__ import annotations

import sys
import time

from wharf.cli import units
from wharf.cli.flags import ANY, Command
from wharf.cli.listing import Column, Listing, show
from wharf.cli.session import ExitWith, Session
from wharf.client.http import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STATS = Command(
    "stats",
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    (
        ("all", "a", "bool", "Show all containers (default shows just running)"),
        ("format", "", "string", "'table', 'table TEMPLATE', 'json' or a Go template"),
        ("no-stream", "", "bool", "Disable streaming stats and only pull the first result"),
        ("no-trunc", "", "bool", "Do not truncate output"),
    ),
    operands=(0, ANY),
    example="wharf stats --no-stream --format '{{.Name}}: {{.CPUPerc}} {{.MemUsage}}'",
    aliases="wharf container stats, wharf stats",
)
COLUMNS = (
    Column("ID", "CONTAINER ID"),
    Column("Name", "NAME"),
    Column("CPUPerc", "CPU %"),
    Column("MemUsage", "MEM USAGE / LIMIT"),
    Column("MemPerc", "MEM %"),
    Column("NetIO", "NET I/O"),
    Column("BlockIO", "BLOCK I/O"),
    Column("PIDs", "PIDS"),
)
HEADERS = {"Container": "CONTAINER", **{column.name: column.header for column in COLUMNS}}
SECONDS = 1.0
"""Between two samples: processor time is what passed between them."""
HOME, REST_OF_LINE, REST_OF_SCREEN = "\033[H", "\033[K", "\033[J"


def stats(session: Session, args: list[str]) -> int:
    """One table, or one a second until nothing that was named is left (or forever)."""
    flags, names = STATS.parse(args)
    form, whole = flags.get("format", ""), flags.get("no-trunc", False)
    listing = Listing(list(COLUMNS), HEADERS, quiet_field="ID")
    before = _samples(session, names, flags.get("all", False), first=True)
    while True:
        if before:
            time.sleep(SECONDS)
        now = _samples(session, names, flags.get("all", False))
        rows = [_row(name, sample, before.get(name), whole) for name, sample in now.items()]
        if flags.get("no-stream"):
            show(session, listing, rows, form)
            return 0
        if names and not now:
            return 0
        _draw(session, listing, rows, form)
        if not before and not now:
            time.sleep(SECONDS)
        before = now


def _draw(session: Session, listing: Listing, rows: list[dict[str, Any]], form: str) -> None:
    """In a terminal over what was there, as docker does; elsewhere one table after the other."""
    if not sys.stdout.isatty():
        show(session, listing, rows, form)
        sys.stdout.flush()
        return
    written: list[str] = []
    show(_Page(written), listing, rows, form)
    text = "".join(written).replace("\n", f"{REST_OF_LINE}\n")
    session.write(HOME + text + REST_OF_SCREEN)
    sys.stdout.flush()


class _Page(Session):
    """Where a table is written before it goes to the screen in one piece."""

    def __init__(self, written: list[str]) -> None:
        super().__init__()
        self._written = written

    def write(self, text: str) -> None:
        self._written.append(text)

    def line(self, text: str) -> None:
        self._written.append(text + "\n")


def _samples(session: Session, names: list[str], stopped: bool, first: bool = False) -> dict[str, dict[str, Any]]:
    """A sample by name as it was given, or by id. What has gone is left out, except that names must exist at first."""
    client = session.client()
    wanted = names
    if not names:
        wanted = [item["Id"] for item in client.get("/containers/json", all=stopped or None) or []]
    found: dict[str, dict[str, Any]] = {}
    problems = []
    for name in wanted:
        try:
            found[name] = client.get(f"/containers/{name}/stats", **{"stream": "0", "one-shot": "1"})
        except ApiError as error:
            if error.status != 404:
                raise
            problems.append(session.words(error))
    if names and first and problems:
        raise ExitWith("\n".join(problems))
    return found


def _row(name: str, sample: dict[str, Any], before: dict[str, Any] | None, whole: bool) -> dict[str, Any]:
    used, limit = memory_of(sample.get("memory_stats") or {})
    received, sent = network_of(sample.get("networks") or {})
    read, written = block_of(sample.get("blkio_stats") or {})
    container = str(sample.get("id", ""))
    return {
        "BlockIO": f"{units.human_size(read, 3)} / {units.human_size(written, 3)}",
        "CPUPerc": f"{processor_share(sample, before):.2f}%",
        "Container": name if whole or name != container else container[:12],
        "ID": container if whole else container[:12],
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "MemUsage": f"{units.bytes_size(used)} / {units.bytes_size(limit)}",
        "Name": str(sample.get("name", "")).removeprefix("/"),
        "NetIO": f"{units.human_size(received, 3)} / {units.human_size(sent, 3)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current", 0)),
    }


def processor_share(sample: dict[str, Any], before: dict[str, Any] | None) -> float:
    """Percent of one processor that the container used between two samples; 0 when it did not run in both."""
    now, then = sample.get("cpu_stats") or {}, (before or {}).get("cpu_stats") or {}
    if not then.get("system_cpu_usage"):
        return 0.0
    used = now["cpu_usage"]["total_usage"] - then["cpu_usage"]["total_usage"]
    host = now.get("system_cpu_usage", 0) - then["system_cpu_usage"]
    return float(100 * used / host * now.get("online_cpus", 1)) if used > 0 and host > 0 else 0.0


def memory_of(memory: dict[str, Any]) -> tuple[int, int]:
    """Bytes used, without what the kernel can drop at once (inactive pages of files), and the limit."""
    used, details = memory.get("usage", 0), memory.get("stats") or {}
    for key in ("total_inactive_file", "inactive_file"):  # v1 counts the cgroups below by another name
        if key in details:
            return (used - details[key] if details[key] < used else used), memory.get("limit", 0)
    return used, memory.get("limit", 0)


def network_of(networks: dict[str, Any]) -> tuple[int, int]:
    """Bytes received and sent over all interfaces."""
    return sum(item["rx_bytes"] for item in networks.values()), sum(item["tx_bytes"] for item in networks.values())


def block_of(block: dict[str, Any]) -> tuple[int, int]:
    """Bytes read and written over all devices."""
    entries = block.get("io_service_bytes_recursive") or []
    read = sum(item["value"] for item in entries if item["op"].lower() == "read")
    return read, sum(item["value"] for item in entries if item["op"].lower() == "write")
