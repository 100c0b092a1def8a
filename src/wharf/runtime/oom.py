"""OOM kills in the cgroup of a scope: seen when they happen, since systemd takes cgroup and count away at the end."""

import os
import select

from wharf.kernel.cgroup import Cgroup
from wharf.runtime.pump import Poller


class OomWatch:
    """Whether the kernel has killed for want of memory. A plain cgroup is asked once, at the end."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.seen = False

    def begin(self, cgroup: Cgroup | None) -> None:
        """Watch memory.events: kernfs tells of a change with POLLPRI, and of the end of the file too."""
        fd = cgroup.oom_events() if cgroup is not None else -1
        if fd >= 0:
            self._poller.watch(fd, select.POLLPRI, lambda _events: self._changed(fd))

    def _changed(self, fd: int) -> None:
        try:
            lines = os.pread(fd, 4096, 0).split(b"\n")
        except OSError:  # the cgroup is gone
            self._poller.forget(fd)
            os.close(fd)
            return
        self.seen = self.seen or any(line.startswith(b"oom_kill ") and line != b"oom_kill 0" for line in lines)

    def ask(self, cgroup: Cgroup | None) -> bool:
        """The count as it is now, together with what was seen before."""
        self.seen = self.seen or bool(cgroup is not None and cgroup.oom_kills())
        return self.seen
