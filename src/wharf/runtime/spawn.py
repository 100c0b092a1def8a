"""Starting the launcher: posix_spawn of the interpreter from a sealed memfd.

A process that enters a container can be reached through /proc by what runs there; what it would find is this
sealed copy, never the host's interpreter on disk. posix_spawn, since a threaded process must not fork.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from wharf import errors
from wharf.kernel import memfile
from wharf.runtime import messages
from wharf.runtime.running import Channel

MAX_IDLE = 4
"""Workers that wait for another job."""
_LAUNCHER_FD = 3
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from wharf.launcherd import main; main(int(sys.argv[2]))"


def sealed_interpreter() -> int:
    """A descriptor of a read-only copy of the running interpreter."""
    with open(os.path.realpath(sys.executable), "rb") as source:
        size = os.fstat(source.fileno()).st_size
        fd = os.memfd_create("wharf-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        done = 0
        while done < size:
            done += os.sendfile(fd, source.fileno(), done, size - done)
    os.fchmod(fd, 0o555)
    memfile.seal(fd)
    return fd


def spawn_launcher() -> tuple[int, socket.socket]:
    """Start a launcher; its pid and our end of its socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    interpreter = sealed_interpreter()
    # The directory that holds the package; in isolated mode nothing else but the standard library is on the path.
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    arguments = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, package, str(_LAUNCHER_FD)]
    try:
        pid = os.posix_spawn(
            f"/proc/self/fd/{interpreter}",
            arguments,
            {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), _LAUNCHER_FD),
            ],
            setsid=True,
            setsigmask=(),
        )
    finally:
        os.close(interpreter)
        theirs.close()
    return pid, ours


class Launcher:
    """The launcher as wharfd holds it: control sockets of new monitors and workers.

    Two monitors are forked ahead and wait for their requests, so that a start does not wait for the fork: one for
    the next container, its first process cloned too, and one for the next exec. They end when their sockets do:
    with this object, or with wharfd.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._spares: dict[str, Channel] = {}
        self._taken: set[str] = set()
        """Kinds whose next monitor is not forked yet."""
        self._keepers = 0
        self._idle: list[Worker] = []
        self.pid = 0

    def start(self) -> None:
        """Start the process. Nothing is forked ahead yet: monitors forked this early share less of its memory."""
        self.pid, self._sock = spawn_launcher()

    def close(self) -> None:
        """End it; workers end with it, monitors live on."""
        with self._lock:
            sock, self._sock = self._sock, None
            for spare in self._spares.values():
                spare.close()
            self._spares.clear()
            self._drop_idle()
            if sock is not None:
                sock.close()
                os.waitpid(self.pid, 0)

    def monitor(self, kind: str) -> Channel:
        """A monitor of a "container" or an "exec"; a launcher that died is started again once."""
        with self._lock:
            ready = self._spares.pop(kind, None)
            self._taken.add(kind)
        if ready is not None and not ready.waits():
            ready.close()
            ready = None
        return ready or self._fork("monitor")

    def fork_ahead(self) -> None:
        """Monitors in the place of those that were taken. Called when a start is over, so as not to compete with it."""
        with self._lock:
            kinds, self._taken = self._taken - self._spares.keys(), set()
        for kind in kinds:
            try:
                another = self._fork("ahead" if kind == "container" else "monitor")
            except (errors.WharfError, OSError):  # closed meanwhile, broken, no descriptor: the next start will say so
                return
            with self._lock:
                if kind not in self._spares and self._sock is not None:
                    self._spares[kind] = another
                    continue
            another.close()

    def _fork(self, role: str) -> Channel:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, self._lock:
            for attempt in (1, 2):
                if self._sock is None:
                    raise errors.Unavailable("the launcher is closed")
                try:
                    messages.send(self._sock, {"role": role}, [theirs.fileno()])
                    break
                except messages.Closed:
                    if attempt == 2:
                        raise errors.Internal("the launcher does not start") from None
                    self._sock.close()
                    os.waitpid(self.pid, 0)
                    self.pid, self._sock = spawn_launcher()
        return Channel(ours)

    def work(self, job: str, args: dict[str, Any], fds: Sequence[int], timeout: float | None) -> dict[str, Any]:
        """Run a job in a worker; raises what it raised, TimeoutError (and kills it) after `timeout` seconds."""
        worker = self._worker()
        stays = False
        try:
            worker.channel.tell({"job": job, "args": args}, list(fds))
            message = worker.answer(timeout)
            stays = bool(message["stays"])
        except messages.Closed:
            raise errors.Internal(f"the worker of {job} died") from None
        except TimeoutError:
            worker.kill()
            raise TimeoutError(f"{job} did not end within {timeout:.0f} s") from None
        finally:
            self._done(worker, stays)
        return _result(job, message)

    @contextlib.contextmanager
    def keeping_workers(self) -> Iterator[None]:
        """For somebody with many jobs: within the `with` a worker may do one after another."""
        with self._lock:
            self._keepers += 1
        try:
            yield
        finally:
            with self._lock:
                self._keepers -= 1
                if not self._keepers:
                    self._drop_idle()

    def _worker(self) -> "Worker":
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is not None:
            if found.channel.waits():
                return found
            found.close()
        return Worker(self._fork("worker"))

    def _done(self, worker: "Worker", stays: bool) -> None:
        with self._lock:
            if stays and self._keepers and self._sock is not None and len(self._idle) < MAX_IDLE:
                self._idle.append(worker)
                return
        worker.close()

    def _drop_idle(self) -> None:
        for worker in self._idle:
            worker.close()
        self._idle.clear()


class Worker:
    """One worker as wharfd holds it."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._pidfd = -1

    def answer(self, timeout: float | None) -> dict[str, Any]:
        """The result of the job that it was told, as a message. Raises Closed, TimeoutError."""
        if self._pidfd < 0:
            _, (self._pidfd,) = self.channel.hear(timeout)
        message, passed = self.channel.hear(timeout)
        messages.close_all(passed)
        return message

    def kill(self) -> None:
        """End it in the middle of its job."""
        if self._pidfd >= 0:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """It ends by itself."""
        self.channel.close()
        messages.close_all([self._pidfd])


def _result(job: str, message: dict[str, Any]) -> dict[str, Any]:
    if message["op"] == "done":
        result: dict[str, Any] = message["result"]
        return result
    if message["op"] == "refused":
        kind = getattr(errors, message["class"], errors.Internal)
        raise kind(message["message"])
    if message["op"] == "os":
        raise OSError(message["errno"], message["message"], message["path"] or None)
    raise errors.Internal(f"{job}: {message['message']}\n{message['traceback']}")
