"""A process under a monitor as wharfd sees it: attach, signal, pause, and how it ended."""

import errno
import os
import select
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from wharf.kernel import namespaces as ns
from wharf.kernel.cgroup import Cgroup
from wharf.runtime import messages
from wharf.runtime.requests import ExitRecord

_SEND_LIMIT = struct.pack("ll", 5, 0)  # struct timeval; a monitor's loop never waits that long


class Channel:
    """The control socket of one monitor; sending is safe from any thread."""

    def __init__(self, sock: socket.socket, mute: bool = False) -> None:
        self.sock, self.mute = sock, mute
        self._lock = threading.Lock()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_LIMIT)

    @classmethod
    def to_nobody(cls) -> "Channel":
        """For a monitor that cannot be spoken to: what is sent finds nobody, as when it has gone."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.close()
        return cls(ours, mute=True)

    def tell(self, message: dict[str, Any], fds: tuple[int, ...] | list[int] = ()) -> bool:
        """Send; False when the monitor has gone."""
        with self._lock:
            try:
                messages.send(self.sock, message, fds)
            except (messages.Closed, OSError):
                return False
        return True

    def waits(self) -> bool:
        """Whether the other end is there and has said nothing yet."""
        poller = select.poll()
        poller.register(self.sock.fileno(), select.POLLIN)
        return not poller.poll(0)

    def hear(self, timeout: float | None) -> tuple[dict[str, Any], list[int]]:
        """The next message; TimeoutError when none comes in time, Closed when the monitor has gone."""
        poller = select.poll()
        poller.register(self.sock.fileno(), select.POLLIN)
        if not poller.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError(f"the monitor did not answer within {timeout:.0f} s")
        return messages.receive(self.sock)

    def attach(self, stdin: bool, stdout: bool, stderr: bool, framed: bool | None = None) -> socket.socket:
        """Our end of a new stream of the process; it ends at once when the monitor has gone. `framed`: with Docker's
        headers or without; None: with them unless there is a terminal."""
        ours, theirs = socket.socketpair()
        with theirs:
            message = {"op": "attach", "stdin": stdin, "stdout": stdout, "stderr": stderr, "framed": framed}
            self.tell(message, [theirs.fileno()])
        return ours

    def doorbell(self) -> int:
        """The reading end of a pipe, not blocking: readable when the log has grown, at its end when it is complete."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self.tell({"op": "doorbell"}, [writer])
        os.close(writer)
        return reader

    def shipped(self, until_ns: int) -> None:
        """The log up to that time was sent elsewhere: it may be rotated away."""
        self.tell({"op": "shipped", "time": until_ns})

    def resize(self, height: int, width: int) -> None:
        """Set the size of the terminal; without a terminal nothing happens."""
        self.tell({"op": "resize", "height": height, "width": width})

    def close(self) -> None:
        """Close our end."""
        self.sock.close()


def connect(directory: str, name: str, patience: float) -> Channel | None:
    """To the monitor that listens on `name` there. None when nobody does, or so many wait already that `patience`
    seconds are not enough; raises other OSErrors. The long path goes through a descriptor (108 bytes is all)."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        # Not `settimeout`, with which connect fails at once where others wait.
        limit = struct.pack("ll", int(patience), int(patience % 1 * 1e6))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)
    except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
        sock.close()
        return None
    except OSError:
        sock.close()
        raise
    return Channel(sock)


class Running:
    """A started first process. Methods are safe from any thread; callbacks come from the supervisor's reader."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        pid: int,
        start_time: int,
        pidfd: int,
        monitor_pidfd: int,
        cgroup: Cgroup | None,
    ) -> None:
        self.name, self.pid, self.start_time = name, pid, start_time
        self.channel, self.pidfd, self.monitor_pidfd = channel, pidfd, monitor_pidfd
        self._cgroup = cgroup
        self._lock = threading.Condition()
        self._killed = False
        self._exit: ExitRecord | None = None
        self._callbacks: list[Callable[[ExitRecord], None]] = []

    @property
    def cgroup(self) -> str:
        """The path of its cgroup, "" when it has none."""
        return self._cgroup.path if self._cgroup else ""

    @property
    def listen_fd(self) -> int:
        """What becomes readable when the monitor speaks or ends."""
        return self.monitor_pidfd if self.channel.mute else self.channel.sock.fileno()

    def attach(self, *, stdin: bool, stdout: bool, stderr: bool, framed: bool | None = None) -> socket.socket:
        """A stream socket: frames with Docker's header (raw with a terminal) out, stdin in; SHUT_WR ends stdin."""
        return self.channel.attach(stdin, stdout, stderr, framed)

    def doorbell(self) -> int:
        """A pipe, readable when the log has grown, at its end when the log is complete; the caller closes it."""
        return self.channel.doorbell()

    def shipped(self, until_ns: int) -> None:
        """See `Channel.shipped`."""
        self.channel.shipped(until_ns)

    def resize(self, height: int, width: int) -> None:
        """Set rows and columns of the terminal."""
        self.channel.resize(height, width)

    def over(self) -> bool:
        """Whether the first process has ended, recorded or not."""
        with self._lock:
            return self._is_over()

    def _is_over(self) -> bool:
        if self.pidfd < 0:
            return True
        poller = select.poll()
        poller.register(self.pidfd, select.POLLIN)
        return bool(poller.poll(0))

    def duplicate_pidfd(self) -> int:
        """A pidfd of the first process for the caller to close; ProcessLookupError when it has gone."""
        with self._lock:
            if self.pidfd < 0:
                raise ProcessLookupError(f"no process {self.pid}")
            return os.dup(self.pidfd)

    def duplicate_monitor(self) -> int:
        """A pidfd of the monitor for the caller to close; ProcessLookupError when it has gone."""
        with self._lock:
            if self.monitor_pidfd < 0:
                raise ProcessLookupError(f"no monitor of process {self.pid}")
            return os.dup(self.monitor_pidfd)

    def signal(self, number: int) -> None:
        """Send a signal to the first process; ProcessLookupError when it has gone."""
        with self._lock:
            if self.pidfd < 0:
                raise ProcessLookupError(f"no process {self.pid}")
            signal.pidfd_send_signal(self.pidfd, number)
            self._killed = self._killed or number == signal.SIGKILL

    def kill_all(self) -> None:
        """SIGKILL to every process of the cgroup."""
        if self._cgroup is not None:
            self._cgroup.kill()
        else:
            self.signal(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze every process; OSError when that fails, ProcessLookupError once it was sent SIGKILL: a frozen process
        does not die (freezer of cgroup v1)."""
        with self._lock:
            if self._killed:
                raise ProcessLookupError(errno.ESRCH, f"process {self.pid} was killed")
        self._need_cgroup().freeze(True)

    def resume(self) -> None:
        """Thaw every process."""
        self._need_cgroup().freeze(False)

    def paused(self) -> bool:
        """Whether the cgroup is frozen."""
        return self._cgroup is not None and self._cgroup.frozen()

    def pids(self) -> list[int]:
        """The processes as the host numbers them."""
        return self._cgroup.pids() if self._cgroup is not None else [self.pid]

    def stats(self) -> dict[str, Any]:
        """Usage as `kernel.cgroup` gives it."""
        return self._cgroup.stats() if self._cgroup is not None else {}

    def limit(self, resources: dict[str, Any]) -> None:
        """Write new limits (`linux.resources`)."""
        self._need_cgroup().limit(resources)

    def _need_cgroup(self) -> Cgroup:
        if self._cgroup is None:
            raise OSError(95, "the process has no cgroup of its own")
        return self._cgroup

    def namespace(self, kind: str) -> int:
        """A new descriptor of one namespace (OCI type name); ProcessLookupError when the process has gone."""
        with self._lock:
            if self.pidfd < 0:
                raise ProcessLookupError(f"no process {self.pid}")
            try:
                fd = ns.open_namespace(kind, self.pid)
            except FileNotFoundError:
                raise ProcessLookupError(f"no process {self.pid}") from None
            if self._is_over():  # the pid may have been another's already
                os.close(fd)
                raise ProcessLookupError(f"no process {self.pid}")
            return fd

    def has_gone(self) -> bool:
        """Whether the process is dead; its record may still be on the way."""
        with self._lock:
            return self._is_over()  # not by select(2), which takes no descriptor above 1023

    def on_exit(self, callback: Callable[[ExitRecord], None]) -> None:
        """Call once with the record; at once, in this thread, when it has ended already."""
        with self._lock:
            if self._exit is None:
                self._callbacks.append(callback)
                return
            record = self._exit
        callback(record)

    def wait(self, timeout: float | None = None) -> ExitRecord | None:
        """The record, or None when it has not ended in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while self._exit is None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._lock.wait(left)
            return self._exit

    def ended(self, record: ExitRecord) -> None:
        """The supervisor's: the process has ended. Later calls change nothing."""
        with self._lock:
            if self._exit is not None:
                return
            self._exit = record
            callbacks, self._callbacks = self._callbacks, []
            messages.close_all([self.pidfd, self.monitor_pidfd])
            self.pidfd = self.monitor_pidfd = -1
            self._lock.notify_all()
        for callback in callbacks:
            callback(record)
