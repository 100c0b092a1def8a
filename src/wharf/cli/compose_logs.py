"""`wharf compose logs`, and how lines of several containers are shown together."""

from __future__ import annotations

import os
import sys
import threading

from wharf.cli import streams, units
from wharf.cli.compose import Compose, command
from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from wharf.client.api import Client

LOGS = command(
    "logs",
    "[OPTIONS] [SERVICE...]",
    "View output from containers",
    (
        ("follow", "f", "bool", "Follow log output"),
        ("index", "", "int", "Index of the container if service has multiple replicas"),
        ("no-color", "", "bool", "Produce monochrome output"),
        ("no-log-prefix", "", "bool", "Don't print prefix in logs"),
        ("since", "", "string", "Show logs since timestamp or relative (e.g. 42m for 42 minutes)"),
        ("tail", "n", "string", "Number of lines to show from the end of the logs for each container"),
        ("timestamps", "t", "bool", "Show timestamps"),
        ("until", "", "string", "Show logs before a timestamp or relative"),
    ),
    example="wharf compose logs -f web",
)
_COLORS = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


class LogPrinter:
    """Whole lines of several containers, each after its container's name. Told by several threads."""

    def __init__(self, *, color: bool, prefix: bool, timestamps: bool = False) -> None:
        self._color = color
        self._prefix = prefix
        self._timestamps = timestamps
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        self._width = 0

    def register(self, name: str) -> None:
        """A container whose lines will come: the prefixes are as wide as the longest name."""
        with self._lock:
            self._colored(name)
            self._width = max(self._width, len(name) + 1)

    def _colored(self, name: str) -> str:
        return self._names.setdefault(name, _COLORS[len(self._names) % len(_COLORS)])

    def lines(self, name: str, text: str, descriptor: int = 1) -> None:
        """Lines without their last end."""
        self.register(name)
        stamp = f"{_now()} " if self._timestamps else ""
        start = self._start(name) if self._prefix else ""
        out = "".join(f"{start}{stamp}{line}\n" for line in text.split("\n"))
        with self._lock:
            streams.write_all(descriptor, out.encode("utf-8", "surrogateescape"))

    def status(self, name: str, text: str) -> None:
        """A word about a container, among the lines; one whose own lines are not shown makes no prefix wider."""
        line = f"{name} {text}\n"
        with self._lock:
            color = self._colored(name)
            streams.write_all(1, (f"\x1b[{color}m{line}\x1b[0m" if self._color else line).encode())

    def _start(self, name: str) -> str:
        text = f"{name.ljust(self._width)} | "
        return f"\x1b[{self._names[name]}m{text}\x1b[0m" if self._color else text


def _now() -> str:
    import datetime

    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Lines:
    """Cuts a container's stream into lines; frames are taken apart unless it has a terminal."""

    def __init__(self, printer: LogPrinter, name: str, tty: bool) -> None:
        self._printer = printer
        self._name = name
        self._frames = None if tty else streams.Frames()
        self._rest = {1: b"", 2: b""}

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        for descriptor, run in self._frames.feed(data) if self._frames else [(1, data)]:
            whole, end, rest = (self._rest[descriptor] + run).rpartition(b"\n")
            self._rest[descriptor] = rest
            if end:
                self._show(whole)

    def close(self) -> None:
        """The end: what has no line's end is shown too."""
        for descriptor, rest in self._rest.items():
            if rest:
                self._show(rest)
                self._rest[descriptor] = b""

    def _show(self, data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        self._printer.lines(self._name, text)


def short_name(container: dict[str, Any]) -> str:
    """A container's name without its project's, as logs show it."""
    from wharf.compose import labels

    name = labels.name_of(container)
    found = container.get("Labels") or {}
    default = f"{found.get(labels.PROJECT)}-{found.get(labels.SERVICE)}-{found.get(labels.NUMBER)}"
    return name.partition(f"{found.get(labels.PROJECT)}-")[2] if name == default else name


def printer_of(flags: dict[str, Any], timestamps: bool = False) -> LogPrinter:
    """The printer that a verb's flags ask for."""
    color = sys.stdout.isatty() and not flags.get("no-color") and not os.environ.get("NO_COLOR")
    return LogPrinter(color=color, prefix=not flags.get("no-log-prefix"), timestamps=timestamps)


def copy_log(client: Client, container: str, lines: Lines, parameters: dict[str, Any]) -> None:
    """Shows a container's log to its end."""
    from wharf.client.api import query

    target = f"/containers/{container}/logs" + query({"stdout": True, "stderr": True, **parameters})
    response = client.request("GET", target)
    while data := response.read(streams.RECEIVE):
        lines.feed(data)
    lines.close()
    response.close()


def logs(compose: Compose, args: list[str]) -> int:
    """Shows the logs of the project's containers, each line after its container's name."""
    flags, names = LOGS.parse(args)
    from wharf.cli.compose_down import containers_of

    if flags.get("index") and len(names) != 1:
        raise ExitWith("--index requires one service to be selected")
    found = containers_of(compose, names, all=True)
    if flags.get("index"):
        from wharf.compose import labels

        found = [item for item in found if labels.number_of(item) == flags["index"]]
        if not found:
            raise ExitWith(f'service "{names[0]}" is not running container #{flags["index"]}')
    printer = printer_of(flags)
    parameters = {
        "follow": flags.get("follow"),
        "timestamps": flags.get("timestamps"),
        "tail": flags.get("tail", "all"),
        "since": _instant(flags.get("since", "")),
        "until": _instant(flags.get("until", "")),
    }
    follow_all(compose, found, printer, parameters)
    return 0


def _instant(text: str) -> str:
    return units.timestamp(text) if text else ""


def follow_all(
    compose: Compose, containers: Iterable[dict[str, Any]], printer: LogPrinter, parameters: dict[str, Any]
) -> None:
    """The logs of several containers at once, to their ends; one after another when nothing is followed."""
    engine = compose.engine()
    found = list(containers)
    for container in found:
        printer.register(short_name(container))

    def one(container: dict[str, Any]) -> None:
        tty = engine.client.get(f"/containers/{container['Id']}/json")["Config"]["Tty"]
        copy_log(engine.client, container["Id"], Lines(printer, short_name(container), tty), parameters)

    if not parameters.get("follow"):
        for container in found:
            one(container)
        return
    threads = [threading.Thread(target=one, args=(item,), daemon=True) for item in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
