"""What must be true of every container, whatever was killed: its state, the file that was copied into it, its log."""

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.wharfd import Wharfd
from wharf.network.names import instance_id

PAYLOAD_SIZE = 1 << 20
KILLED = 137
SETTLE = 10.0
COUNT = (
    "r=$(($(cat /runs 2>/dev/null || echo 0) + 1)); echo $r > /new; mv /new /runs; "
    "i=$(cat /count 2>/dev/null || echo 0); trap 'exit 0' TERM; while true; do echo line $r $i; i=$((i+1)); "
    "echo $i > /new; mv /new /count; usleep {pause}; done"
)
"""Numbers its lines, over all runs of a container; each says which run wrote it."""
_LINE = re.compile(r"line (\d+) (\d+)\n\Z")


class Truth:
    """Looks at the containers of one engine; what is wrong goes to `problems`."""

    def __init__(self, daemon: Wharfd, names: Sequence[str], problems: list[str]) -> None:
        self.daemon, self.names, self.problems = daemon, names, problems
        self.lost_monitors: Counter[str] = Counter()
        """How often the monitor of each was killed: what was in its pipe then is lost."""

    def inspect(self, name: str) -> dict[str, Any]:
        """One container as the API shows it."""
        found: list[dict[str, Any]] = json.loads(self.daemon.docker("inspect", name).stdout)
        return found[0]

    def look(self, when: str, logs: Sequence[str]) -> None:
        """At all, and at the `logs` of some: a line that is missing once is missing for ever."""
        out = self.daemon.docker("inspect", *self.names, check=False)
        found = {item["Name"].removeprefix("/"): item for item in json.loads(out.stdout)}
        for name in self.names:
            if name not in found:
                self.problems.append(f"{when}: {name} is gone: {out.stderr}")
                continue
            self.problems += [f"{when}: {name} {text}" for text in self._state(name, found[name])]
            self.problems += [f"{when}: {name} {text}" for text in self._copy(found[name]["Id"])]
        for name in (name for name in logs if name in found):
            self.problems += [f"{when}: {name} {text}" for text in self.log(name)]

    # -- state

    def _state(self, name: str, item: dict[str, Any]) -> list[str]:
        """An end is recorded some moments after it came: what looks wrong is looked at again."""
        deadline = time.monotonic() + SETTLE
        while (wrong := self._state_now(item)) and time.monotonic() < deadline:
            time.sleep(0.1)
            item = self.inspect(name)
        return wrong

    def _state_now(self, item: dict[str, Any]) -> list[str]:
        state = item["State"]
        wrong = []
        if state["Paused"] or state["Restarting"] or state["Dead"] or state["OOMKilled"]:
            wrong.append(f"is {state['Status']}, which nobody asked for")
        if state["Running"]:
            if not Path(f"/proc/{state['Pid']}/exe").exists():
                wrong.append(f"is recorded as running and process {state['Pid']} is not there")
        else:
            if state["Status"] != "exited" or state["Pid"]:
                wrong.append(f"is {state['Status']} with process {state['Pid']} and does not run")
            if groups := self.cgroups(item["Id"]):
                wrong.append(f"is recorded as {state['Status']} and has {groups}")
        return wrong

    def cgroups(self, identity: str) -> list[str]:
        """The cgroups that a container has."""
        parent = f"wharf-{instance_id(self.daemon.root + '/data')}"
        paths = (place / identity for depth in ("", "*/") for place in Path("/sys/fs/cgroup").glob(depth + parent))
        return [str(path) for path in paths if path.exists()]

    def lost(self, name: str) -> list[str]:
        """What is wrong with a container whose monitor was killed: ended with 137 and the reason, its log whole."""
        state = self.inspect(name)["State"]
        wrong = []
        if (state["Status"], state["Running"], state["ExitCode"]) != ("exited", False, KILLED):
            wrong.append(f"is {state['Status']} with {state['ExitCode']} after the kill of its monitor")
        if "monitor" not in state["Error"]:
            wrong.append(f"was lost with no other reason than {state['Error']!r}")
        return wrong + self.log(name)

    # -- the copied file

    def _copy(self, identity: str) -> list[str]:
        """Whole, or of before, or absent."""
        upper = Path(f"{self.daemon.root}/data/snapshots/active/{identity}/fs")
        halves = [item.name for item in upper.iterdir() if item.name.startswith(".wharf-")]
        wrong = [f"has {halves} of a cut cp"] if halves else []
        try:
            content = (upper / "payload").read_bytes()
        except FileNotFoundError:
            return wrong
        if len(content) != PAYLOAD_SIZE or content.count(content[:1]) != PAYLOAD_SIZE:
            wrong.append(f"has a torn copied file of {len(content)} bytes")
        return wrong

    # -- the log

    def log(self, name: str) -> list[str]:
        """What is wrong with a log: the file itself, record by record, and what `docker logs` makes of it."""
        shown = self.daemon.docker("logs", name).stdout.splitlines(keepends=True)
        item = self.inspect(name)
        try:
            records = _records(Path(item["LogPath"]), item["State"]["Running"]) if item["LogPath"] else []
        except ValueError as error:
            return [f"has a torn log: {error}"]
        texts = [record["log"] for record in records]
        wrong = [] if texts[: len(shown)] == shown else ["shows other lines by `docker logs` than its log has"]
        lines = [_LINE.match(text) for text in texts]
        if not all(lines):
            return [*wrong, f"has the line {texts[lines.index(None)]!r} in its log"]
        return wrong + self._gaps(name, [(int(line[1]), int(line[2])) for line in lines if line])

    def _gaps(self, name: str, lines: Sequence[tuple[int, int]]) -> list[str]:
        """Within a run each line follows the one before. A run that ended between a line and its count says that number
        again in the next; only where a monitor was killed some may be left out there."""
        wrong = [f"begins its log with {lines[0]}"] if lines and lines[0][1] != 0 else []
        left_out = 0
        for one, two in itertools.pairwise(lines):
            if two[0] == one[0]:
                good = two[1] == one[1] + 1
            else:
                good = two[0] > one[0] and two[1] >= one[1]
                left_out += two[1] > one[1] + 1
            if not good:
                wrong.append(f"goes from {one} to {two} in its log")
        if left_out > self.lost_monitors[name]:
            wrong.append(f"has left out lines {left_out} times, and lost {self.lost_monitors[name]} monitors")
        return wrong


def _records(path: Path, running: bool) -> list[dict[str, str]]:
    """Every record of a json-file; raises ValueError where one is torn. What is just being written by a container that
    runs may end a little later."""
    deadline = time.monotonic() + SETTLE
    while not (data := path.read_bytes()).endswith(b"\n") and data and running and time.monotonic() < deadline:
        time.sleep(0.02)
    if data and not data.endswith(b"\n"):
        raise ValueError(f"it ends with {data[-80:]!r}")
    records = [json.loads(line) for line in data.splitlines()]
    if not all(list(record) == ["log", "stream", "time"] for record in records):
        raise ValueError("a record has other fields")
    return records
