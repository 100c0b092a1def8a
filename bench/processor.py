"""Processor time of an engine with all that it forks, from a control group of its own (cpuacct, or cpu.stat of v2).

Wall clocks tell little on a machine that others use; what an engine computes, it computes there too.
"""

import contextlib
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engines import Engine
from bench.memory import network_mates

_V1, _V2 = Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup")


class Account:
    """Seconds that an engine and its clients have used; None where there are no control groups to ask."""

    def __init__(self, group: Path | None) -> None:
        self._group = group

    def seconds(self) -> float:
        """Of the engine since its account began, and of all clients that have ended."""
        client = resource.getrusage(resource.RUSAGE_CHILDREN)
        return client.ru_utime + client.ru_stime + (self._engine() if self._group else 0.0)

    def _engine(self) -> float:
        assert self._group is not None
        usage = self._group / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        fields = dict(line.split() for line in (self._group / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6


@contextmanager
def account(engine: Engine) -> Iterator[Account]:
    """Everything that runs in the engine's network now, and what it forks from now on; back to the top at the end."""
    top = _V1 if (_V1 / "cpuacct.usage").exists() else _V2
    group = top / f"wharf-bench-{os.getpid()}-{engine.name}"
    try:
        group.mkdir()
    except OSError:
        yield Account(None)
        return
    try:
        _move(network_mates(engine.pid), group)
        yield Account(group)
    finally:
        _move([int(pid) for pid in (group / "cgroup.procs").read_text().split()], top)
        with contextlib.suppress(OSError):
            group.rmdir()


def _move(pids: list[int], group: Path) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            (group / "cgroup.procs").write_text(str(pid))
