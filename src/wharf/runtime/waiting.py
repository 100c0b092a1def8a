"""Between clone and execve: a first process that waits, as wharfd sees it."""

import os
import socket
from collections.abc import Sequence
from typing import Any, Protocol

from wharf.kernel.cgroup import Cgroup
from wharf.kernel.process import start_time
from wharf.runtime import messages
from wharf.runtime.requests import StartFailed
from wharf.runtime.running import Channel, Running

ANSWER_LIMIT = 60.0  # seconds for a monitor to answer; a hung mount of one container ends here
CREATE = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: "
)
STARTING = CREATE + "unable to start container process: "
CREATE_PREFIX = STARTING + "error during container init: "
BEFORE_INIT = {'sysctl "': CREATE, messages.APPLYING: STARTING}
"""How texts begin that runc has before the container's own init runs -> what comes before them."""
EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "


class Keeper(Protocol):
    """Who is told of what happens to a waiting process."""

    def prepared(self, waiting: "Waiting", name: str, monitor: int) -> None:
        """It exists; `monitor` is the pid of its monitor."""
        ...

    def started(self, running: Running) -> None:
        """It runs."""
        ...


def exit_code_of(text: str) -> int:
    """The exit code that Docker records for a failed start, read off its message (moby, daemon/start.go)."""
    if any(part in text for part in ("executable file not found", "no such file or directory", "not a directory")):
        return 127
    if any(part in text for part in ("permission denied", "is a directory", "operation not permitted")):
        return 126
    return 128


class Waiting:
    """A first process that was cloned and waits for `go`: attach now, so that nothing is missed."""

    def __init__(self, keeper: Keeper, name: str, channel: Channel, prefix: str, cgroup: Cgroup | None) -> None:
        self._keeper, self._name, self._channel, self._prefix = keeper, name, channel, prefix
        self._cgroup = cgroup
        self.pid = 0
        self.start_time = 0
        self.netns_fd: int | None = None
        self.rtnl: socket.socket | None = None
        self._pidfd = self._monitor = -1
        message, fds = self._answer()
        if message["op"] != "prepared":
            messages.close_all(fds)
            raise self._failure(message)
        self.pid, self._pidfd, self._monitor = message["pid"], fds[0], fds[1]
        if len(fds) >= 4:
            self.netns_fd, self.rtnl = fds[2], socket.socket(fileno=fds[3])
        try:
            self.start_time = start_time(self.pid)
            keeper.prepared(self, name, message["monitor"])
        except BaseException:  # no descriptor left, a full disk: the monitor must not wait for ever
            self.abort()
            raise

    def _answer(self) -> tuple[dict[str, Any], list[int]]:
        try:
            return self._channel.hear(ANSWER_LIMIT)
        except (messages.Closed, TimeoutError) as error:
            self._channel.tell({"op": "abort"})  # a monitor that is only late must not let it run yet
            self._channel.close()
            self._release()
            raise StartFailed(self._prefix + f"monitor: {error}") from None
        except OSError:
            self.abort()
            raise

    def _failure(self, message: dict[str, Any]) -> StartFailed:
        text = message.get("text", message["op"])
        self._channel.close()
        self._release()
        prefix = next((words for head, words in BEFORE_INIT.items() if text.startswith(head)), self._prefix)
        whole = text if message.get("bare") else prefix + text
        return StartFailed(whole, exit_code_of(text))

    def _release(self) -> None:
        messages.close_all([fd for fd in (self._pidfd, self._monitor) if fd >= 0])
        self._pidfd = self._monitor = -1
        self.close_network()

    def close_network(self) -> None:
        """Close the namespace's descriptor and the rtnetlink socket; `go` and `abort` do so too."""
        if self.netns_fd is not None:
            os.close(self.netns_fd)
            self.netns_fd = None
        if self.rtnl is not None:
            self.rtnl.close()
            self.rtnl = None

    @property
    def monitor_pidfd(self) -> int:
        """The monitor's pidfd, ours: its end is the sandbox's."""
        return self._monitor

    @property
    def cgroup(self) -> str:
        """The path of its cgroup, "" when it has none of its own."""
        return self._cgroup.path if self._cgroup else ""

    def attach(self, *, stdin: bool, stdout: bool, stderr: bool, framed: bool | None = None) -> socket.socket:
        """As `Channel.attach`."""
        return self._channel.attach(stdin, stdout, stderr, framed)

    def doorbell(self) -> int:
        """As `Running.doorbell`."""
        return self._channel.doorbell()

    def resize(self, height: int, width: int) -> None:
        """As `Running.resize`."""
        self._channel.resize(height, width)

    def go(self, hold: Sequence[int] = ()) -> Running:
        """Let it become the user's program; the monitor keeps duplicates of `hold`. Raises StartFailed."""
        self._channel.tell({"op": "go"}, list(hold))
        message, fds = self._answer()
        if message["op"] != "running":
            messages.close_all(fds)
            raise self._failure(message)
        if "pid" in message:  # another runtime has made it only now
            os.close(self._pidfd)
            self.pid, self._pidfd, self.start_time = message["pid"], fds[0], message["start_time"]
        else:
            messages.close_all(fds)
        self.close_network()
        running = Running(
            self._name, self._channel, self.pid, self.start_time, self._pidfd, self._monitor, self._cgroup
        )
        try:
            self._keeper.started(running)
        except BaseException:  # nobody would hear of its end
            self.abort()
            raise
        return running

    def abort(self) -> None:
        """Kill it and remove what was made; returns when the monitor has done so."""
        self._channel.tell({"op": "abort"})
        try:
            _, fds = self._channel.hear(ANSWER_LIMIT)
            messages.close_all(fds)
        except (messages.Closed, TimeoutError, OSError):
            pass
        self._channel.close()
        self._release()
