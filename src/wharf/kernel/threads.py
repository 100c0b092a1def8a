"""Threads where there may be no more: clone(2) fails at a limit of processes (cgroup pids.max, RLIMIT_NPROC)."""

import threading
from concurrent.futures import ThreadPoolExecutor

from wharf.errors import Unavailable

NO_MORE = "cannot start a thread: the limit of processes is reached (pids.max, TasksMax or ulimit -u of the daemon)"


class SteadyPool(ThreadPoolExecutor):
    """A pool that has its first `ready` threads from the beginning and takes what work comes: where no thread more can
    be had, work waits for those that are there. The base class would queue the work and raise as well, so that what
    was refused is done later, or never by a pool without threads."""

    def __init__(self, workers: int, name: str, ready: int = 1) -> None:
        """Raises RuntimeError when not even these threads can be had."""
        super().__init__(workers, thread_name_prefix=name)
        gate = threading.Event()
        begun = [self.submit(gate.wait) for _ in range(ready)]  # each keeps its thread: the next needs another
        gate.set()
        for task in begun:
            task.result()

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except RuntimeError:
            if not self._threads:
                raise


def start(thread: threading.Thread) -> None:
    """Start a thread; raises Unavailable when there can be no more."""
    try:
        thread.start()
    except RuntimeError:
        raise Unavailable(NO_MORE) from None
