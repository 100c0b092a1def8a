"""What must not grow: the host's things (tests/support/footprint.py), and descriptors and memory of the engine's own
processes, which are wharfd, its helpers, and every monitor that lives through a phase."""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.footprint import Footprint, difference, footprint, processes, settled
from tests.support.wharfd import Wharfd

HELPERS = ("wharfd", "wharf-launcher", "wharf-netd")
MAX_GROWTH_KB = 5 << 10
"""Of one helper, and of all monitors together."""
MAX_MONITOR_GROWTH_KB = 1 << 10
SETTLE = 30.0
_OWN_WORK = ("process: usleep", "process: mv", "process: cat")
"""What the containers' script runs for a moment."""


@dataclass(frozen=True)
class Size:
    """Of one process: descriptors, and memory of its own in kB."""

    descriptors: int
    memory: int


@dataclass(frozen=True)
class State:
    """What is compared; monitors by pid and start time."""

    host: Footprint
    helpers: dict[str, Size]
    monitors: dict[tuple[int, str], Size]


def at_rest(found: Footprint) -> Footprint:
    """Without the moments of the containers' own work, and without the two monitors (for a container, for an exec) that
    are forked ahead or are not."""
    rest = Footprint({key: number for key, number in found.items() if key not in _OWN_WORK})
    monitors = rest.pop("process: wharf-monitor", 0) - rest["file: /exec/monitors/ID"]
    if monitors not in (0, 1, 2):
        rest["monitors beyond the containers"] = monitors
    return +rest


def state(daemon: Wharfd) -> State:
    """Now, once the host is at rest."""
    last = at_rest(footprint(daemon))
    deadline = time.monotonic() + SETTLE
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = at_rest(footprint(daemon))
        if now == last:
            break
        last = now
    return State(last, *sizes(daemon))


def sizes(daemon: Wharfd) -> tuple[dict[str, Size], dict[tuple[int, str], Size]]:
    """Of the helpers by their names, and of the monitors.

    Pages of files are left out: how many of them are counted for one process changes with every other program on the
    machine that has the same interpreter or library loaded. A helper's other pages are counted by its share in them. Of
    those that a monitor has since its fork all are counted: its share would grow whenever another monitor ends.
    """
    helpers: dict[str, Size] = {}
    monitors: dict[tuple[int, str], Size] = {}
    taken = _taken(daemon)
    for pid in processes(daemon):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name in HELPERS:
                helpers[name] = Size(len(os.listdir(f"/proc/{pid}/fd")), _share(pid))
            elif pid in taken:
                monitors[pid, _start_time(pid)] = Size(len(os.listdir(f"/proc/{pid}/fd")), _anonymous(pid))
    return helpers, monitors


def _taken(daemon: Wharfd) -> set[int]:
    """The monitors that have a container; one that was forked ahead gets descriptors with it."""
    found = set()
    for path in Path(f"{daemon.root}/exec/monitors").glob("*/init.json"):
        with contextlib.suppress(OSError, ValueError):
            found.add(int(json.loads(path.read_text())["monitor"]))
    return found


def _share(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))


def _anonymous(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))


def _start_time(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def growth(daemon: Wharfd, then: State) -> list[str]:
    """What is more than it was `then`, or otherwise; a line for each. Prints the figures."""
    host = settled(daemon, (then.host,), at_rest)
    found = [f"the host has changed:\n{difference(host, then.host)}"] if host != then.host else []
    deadline = time.monotonic() + SETTLE
    # A monitor hears with its container's next line that a client has gone.
    while (grown := _grown(then, *(now := sizes(daemon)))) and time.monotonic() < deadline:
        time.sleep(0.5)
    for who, had, has in _pairs(then, *now):
        print(f"  {who}: descriptors {had.descriptors} -> {has.descriptors}, memory {had.memory} -> {has.memory} kB")
    return found + grown


def _pairs(
    then: State, helpers: dict[str, Size], monitors: dict[tuple[int, str], Size]
) -> list[tuple[str, Size, Size]]:
    """Who, then and now: each helper, and the monitors that lived through it, together."""
    lived = [key for key in then.monitors if key in monitors]
    together = _sum([then.monitors[key] for key in lived]), _sum([monitors[key] for key in lived])
    pairs = [(name, then.helpers[name], helpers[name]) for name in HELPERS if name in then.helpers and name in helpers]
    return [*pairs, (f"{len(lived)} monitors that lived through it", *together)]


def _grown(then: State, helpers: dict[str, Size], monitors: dict[tuple[int, str], Size]) -> list[str]:
    found = [f"no {name} any more" for name in then.helpers if name not in helpers]
    for who, had, has in _pairs(then, helpers, monitors):
        found += _compared(who, had, has, MAX_GROWTH_KB)
    for key in (key for key in then.monitors if key in monitors):
        found += _compared(f"monitor {key[0]}", then.monitors[key], monitors[key], MAX_MONITOR_GROWTH_KB)
    return found


def _sum(found: list[Size]) -> Size:
    return Size(sum(size.descriptors for size in found), sum(size.memory for size in found))


def _compared(who: str, had: Size, has: Size, most: int) -> list[str]:
    found = []
    if has.descriptors > had.descriptors:
        found.append(f"{who}: {has.descriptors - had.descriptors} more descriptors")
    if has.memory > had.memory + most:
        found.append(f"{who}: grown by {has.memory - had.memory} kB")
    return found
