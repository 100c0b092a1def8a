"""What keeps a blob alive between its arrival and the row that names it.

An operation (a load, an import, a commit, a change of rows) is a lease on everything: the sweep of unnamed blobs and
snapshots waits until no operation is under way, then runs once. A crash needs no clean-up of leases: at the next start
nothing is under way, and the sweep takes what no row names.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator


class Operations:
    """Counts what is under way; `sweep` runs alone, never beside an operation."""

    def __init__(self, sweep: Callable[[], None]) -> None:
        self._sweep = sweep
        self._lock = threading.Lock()
        self._under_way = 0
        self._wanted = False

    @contextlib.contextmanager
    def operation(self) -> Iterator[None]:
        """Hold the sweep off; where the body fails, what it left unnamed is swept."""
        with self._lock:
            self._under_way += 1
        failed = True
        try:
            yield
            failed = False
        finally:
            with self._lock:
                self._under_way -= 1
                self._wanted = self._wanted or failed
                self._run_if_idle()

    def request_sweep(self) -> None:
        """Sweep now, or when the last operation under way ends."""
        with self._lock:
            self._wanted = True
            self._run_if_idle()

    def alone(self, work: Callable[[], object]) -> bool:
        """Run something short while no operation is under way and none begins; False, and not run, when one is."""
        with self._lock:
            if self._under_way:
                return False
            work()
            return True

    def _run_if_idle(self) -> None:
        if self._wanted and not self._under_way:
            self._wanted = False
            self._sweep()
