"""Starting the launcher: posix_spawn of the interpreter from a sealed memfd.

A process that enters a container can be reached through /proc by what runs there; what it would find is this
sealed copy, never the host's interpreter on disk. posix_spawn, since a threaded process must not fork.
"""

import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from wharf import errors
from wharf.runtime import messages
from wharf.runtime.running import Channel

_LAUNCHER_FD = 3
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from wharf.launcherd import main; main(int(sys.argv[2]))"
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed_interpreter() -> int:
    """A descriptor of a read-only copy of the running interpreter."""
    with open(os.path.realpath(sys.executable), "rb") as source:
        size = os.fstat(source.fileno()).st_size
        fd = os.memfd_create("wharf-python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        done = 0
        while done < size:
            done += os.sendfile(fd, source.fileno(), done, size - done)
    os.fchmod(fd, 0o555)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
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
    """The launcher as wharfd holds it: `fork` gives the control socket of a new monitor or worker.

    One monitor is forked ahead and waits for its request, so that a start does not wait for the fork. It ends when
    its socket does: with this object, or with wharfd.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._spare: Channel | None = None
        self.pid = 0

    def start(self) -> None:
        """Start the process."""
        self.pid, self._sock = spawn_launcher()

    def close(self) -> None:
        """End it; workers end with it, monitors live on."""
        with self._lock:
            sock, self._sock = self._sock, None
            if self._spare is not None:
                self._spare.close()
                self._spare = None
            if sock is not None:
                sock.close()
                os.waitpid(self.pid, 0)

    def fork(self, role: str) -> Channel:
        """A forked monitor or worker; a launcher that died is started again once."""
        if role != "monitor":
            return self._fork(role)
        with self._lock:
            ready, self._spare = self._spare, None
        if ready is not None and not ready.waits():
            ready.close()
            ready = None
        channel = ready or self._fork(role)
        self._fork_ahead()
        return channel

    def _fork_ahead(self) -> None:
        if self._spare is not None:
            return
        try:
            another = self._fork("monitor")
        except errors.WharfError:  # closed meanwhile, or broken: the next start will say so
            return
        with self._lock:
            if self._spare is None and self._sock is not None:
                self._spare = another
                return
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
        channel = self.fork("worker")
        pidfd = -1
        try:
            channel.tell({"job": job, "args": args}, list(fds))
            _, (pidfd,) = channel.hear(timeout)
            message, passed = channel.hear(timeout)
            messages.close_all(passed)
        except messages.Closed:
            raise errors.Internal(f"the worker of {job} died") from None
        except TimeoutError:
            if pidfd >= 0:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            raise TimeoutError(f"{job} did not end within {timeout:.0f} s") from None
        finally:
            channel.close()
            messages.close_all([pidfd])
        return _result(job, message)


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
