"""The processes that the soak kills. Each kill is of a process that was there: a blow into the air does not count."""

import contextlib
import json
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.soak.truth import Truth
from tests.support.wharfd import Wharfd


class Kill(Protocol):
    """`strike` while others work; `aftermath` when they have stopped. A kill counts when both are true."""

    what: str
    spared: str
    """A container that nobody may start again until the aftermath was seen."""

    def strike(self) -> bool: ...

    def aftermath(self) -> bool: ...


class KillDaemon:
    """wharfd, which is started again."""

    what, spared = "wharfd", ""

    def __init__(self, daemon: Wharfd) -> None:
        self._daemon = daemon

    def strike(self) -> bool:
        """Kill it."""
        assert self._daemon.process is not None
        alive = self._daemon.process.poll() is None
        self._daemon.kill()
        return alive

    def aftermath(self) -> bool:
        """Start it again."""
        self._daemon.start()
        return True


class KillLauncher:
    """The launcher, of which wharfd makes another."""

    what, spared = "launcher", ""

    def __init__(self, daemon: Wharfd, truth: Truth, runs: str) -> None:
        """`runs`: a container that is never stopped."""
        self._daemon, self._truth, self._runs = daemon, truth, runs

    def strike(self) -> bool:
        """Kill it, when there is one: after a kill it comes with the next start."""
        assert self._daemon.process is not None
        return any(_kill(pid, "wharf-launcher") for pid in _children(self._daemon.process.pid))

    def aftermath(self) -> bool:
        """Another serves."""
        out = self._daemon.docker("exec", self._runs, "echo", "here", check=False)
        if out.stdout != "here\n":
            self._truth.problems.append(f"no exec after the kill of the launcher: {out.stderr}")
        return True


class KillMonitor:
    """A monitor of one of the containers that run."""

    what = "monitor"

    def __init__(self, daemon: Wharfd, truth: Truth, names: Sequence[str], chance: random.Random) -> None:
        self._daemon, self._truth, self._names, self._chance = daemon, truth, names, chance
        self.spared = ""
        self._before: dict[str, Any] = {}

    def strike(self) -> bool:
        """Kill one whose container runs now."""
        self.spared = name = self._chance.choice(self._names)
        self._before = self._truth.inspect(name)
        place = Path(f"{self._daemon.root}/exec/monitors/{self._before['Id']}/init.json")
        try:
            monitor = int(json.loads(place.read_text())["monitor"])
        except (OSError, ValueError, KeyError):
            return False
        if not self._before["State"]["Running"] or not _kill(monitor, "wharf-monitor"):
            return False
        self._truth.lost_monitors[name] += 1
        return True

    def aftermath(self) -> bool:
        """The container ended with 137 and the reason. One that had ended by itself before the blow has its record, one
        whose start was under way was started again: those do not count."""
        name, self.spared = self.spared, ""
        ended = Path(f"{self._daemon.root}/data/containers/{self._before['Id']}/exit.json").exists()
        self._truth.look("after the kill of a monitor", logs=())  # waits for what is wrong yet
        again = self._truth.inspect(name)["State"]["StartedAt"] != self._before["State"]["StartedAt"]
        if ended or again:
            return False
        self._truth.problems += [f"{name} {text}" for text in self._truth.lost(name)]
        return True


def _kill(pid: int, name: str) -> bool:
    """SIGKILL to a process of this name; whether it was there. No other process can get it: the pidfd is its own."""
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == name and _lives(pid):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                return True
        finally:
            os.close(pidfd)
    return False


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def _children(pid: int) -> list[int]:
    tasks = [Path(f"/proc/{pid}/task/{name}/children") for name in os.listdir(f"/proc/{pid}/task")]
    return [int(text) for task in tasks for text in task.read_text().split()]
