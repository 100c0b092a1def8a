"""The monitor: one process for each container and each exec, which outlives wharfd.

    forked -> born (child cloned) -> [ready, attach…] -> go -> running -> exited -> record written -> gone
                 \\-> failed or aborted: child killed, cgroup removed, nothing left

It holds stdio, writes the log, reaps, and reports. wharfd speaks to it over the control socket it was born with,
a later wharfd over the socket it listens on beneath the exec root. Messages in: `go` (descriptors to hold),
`abort`, `attach` (a stream socket), `doorbell` (a pipe), `shipped` (a time of the log), `resize`, `status`.
Out: `prepared`, `failed`, `running`, `status`, `exit`.
"""

import _socket
import os
import select
import signal
import time
import traceback
from typing import Any

from wharf.kernel import process
from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.runtime import birth, foreign, logs, messages, monitor_files, terminal
from wharf.runtime.oom import OomWatch
from wharf.runtime.pump import Poller, Pump

DRAIN_LIMIT = 2.0  # seconds that output is awaited after the end when somebody else holds the pipes
TRIM_AFTER = 250  # milliseconds of silence after much output, before its buffers go back to the system
_IN = select.POLLIN


def main(control: _socket.socket, clone_ahead: bool = False) -> None:
    """Live as a monitor; the request is the first message on `control`. `clone_ahead`: clone before it comes."""
    ahead = _ahead() if clone_ahead else None
    request, fds = messages.receive(control)
    if ahead is not None and not ahead.fits(request):
        ahead.discard()
        ahead = None
    monitor = Monitor(control, request)
    try:
        monitor.run(fds, ahead)
    except Exception:
        monitor.give_up(traceback.format_exc(limit=6))


def _ahead() -> birth.Ahead | None:
    """None where it cannot be done now: the start says why, if it still cannot then."""
    try:
        return birth.Ahead()
    except OSError:
        return None


class Monitor:
    """State of one monitor."""

    def __init__(self, control: _socket.socket, request: dict[str, Any]) -> None:
        self._control: _socket.socket | None = control
        self._request = request
        self._poller = Poller()
        self._child = birth.Child()
        self._held: list[int] = []
        self._prepared = self._ready = self._wanted = self._running = False
        self._failure: tuple[str, bool] | None = None
        self._over = False
        self._exited_at = 0
        self._oom = OomWatch(self._poller)
        self._status = 0
        self._listener: _socket.socket | None = None
        self._log: logs.Log | None = None
        self._size: tuple[int, int] | None = None
        self._helper: tuple[int, int] | None = None
        self._terminal = -1
        self._pump = Pump(self._poller, None, True)

    @property
    def _cgroup(self) -> Cgroup | None:
        """Made when it is needed, which is in the child and at the end: a waiting monitor stays small."""
        if not self._request["cgroup"]:
            return None
        return open_cgroup(self._request["cgroup_mounts"], self._request["cgroup"])

    @property
    def _is_exec(self) -> bool:
        return bool(self._request["kind"] == "exec")

    # -- start

    def run(self, fds: list[int], ahead: birth.Ahead | None = None) -> None:
        """The whole life."""
        request = self._request
        joined = dict(zip(request["join"], fds[1:], strict=False))
        self._held = fds[1 + len(joined) :]
        if request["log"]:
            self._log = logs.open_log(request["log"])
        self._pump = Pump(self._poller, self._log, not request["terminal"])
        self._listen()
        self._child = birth.give_birth(request, fds[0], joined, ahead)
        messages.close_all([fds[0], *joined.values()])
        if not request["runtime"]:  # what a runtime itself says on these streams is not the container's output
            self._child.connect(self._pump)
        self._poller.watch(self._child.sync.fileno(), _IN, lambda _events: self._hear_child())
        self._poller.watch(self._child.pidfd, _IN, lambda _events: self._reap())
        assert self._control is not None
        self._poller.watch(self._control.fileno(), _IN, lambda _events: self._hear())
        while not self._over and not self._exited_at:
            if self._pump.swollen:
                if not self._poller.once(TRIM_AFTER):
                    self._pump.shrink()
            else:
                self._poller.once()
        if self._exited_at:
            self._end()

    def _listen(self) -> None:
        self._listener = monitor_files.listen(self._request["state_dir"], self._request["name"])
        self._poller.watch(self._listener.fileno(), _IN, lambda _events: self._accept())

    # -- the child

    def _hear_child(self) -> None:
        try:
            message, fds = messages.receive(self._child.sync)
        except messages.Closed:
            self._child_silent()
            return
        if message["op"] == "born":
            if "pid" in message:
                self._take_over(message["pid"])
            self._tell_prepared(fds)
            messages.close_all(fds)
        elif message["op"] == "terminal":
            self._terminal = fds[0]
            self._pump.set_terminal(fds[0])
            if self._size:
                terminal.resize(self._terminal, *self._size)
        elif message["op"] == "ready":
            self._ready = True
            if not self._is_exec and "" in self._request["cgroup_mounts"]:  # v2: only there a scope takes it away
                self._oom.begin(self._cgroup)
        elif message["op"] == "started":
            self._take_over(message["pid"])
        elif message["op"] == "failed":
            self._failure = (message["text"], message["bare"])

    def _take_over(self, pid: int) -> None:
        """Another runtime has made the process; its helper goes when it has done its work."""
        helper = (self._child.pid, self._child.pidfd)
        self._poller.forget(self._child.pidfd)
        self._child.become(pid)
        self._child.connect(self._pump)
        self._poller.watch(self._child.pidfd, _IN, lambda _events: self._reap())
        self._helper = helper
        self._poller.watch(helper[1], _IN, lambda _events: self._reap_helper())

    def _reap_helper(self) -> None:
        if self._helper is not None:
            (pid, pidfd), self._helper = self._helper, None
            self._poller.forget(pidfd)
            os.close(pidfd)
            os.waitpid(pid, 0)

    def _tell_prepared(self, fds: list[int]) -> None:
        self._prepared = True
        own = os.pidfd_open(os.getpid())
        self._tell({"op": "prepared", "pid": self._child.pid, "monitor": os.getpid()}, [self._child.pidfd, own, *fds])
        os.close(own)

    def _child_silent(self) -> None:
        """The child's end of the socket closed: execve happened, or the child is dead."""
        self._poller.forget(self._child.sync.fileno())
        self._child.sync.close()
        if self._wanted and self._ready and self._failure is None:
            self._running = True
            if self._is_exec and self._request["runtime"]:
                child = self._child
                self._tell({"op": "running", "pid": child.pid, "start_time": child.start_time}, [child.pidfd])
            else:
                self._tell({"op": "running"})
            return
        if self._failure is None:
            self._failure = ("the first process ended before it could run a program", False)
        self._fail_when_asked()

    def _let_go_on(self) -> None:
        """At once: the child reads it when it is ready, and need not wait for another turn of ours."""
        try:
            messages.send(self._child.sync, {"op": "go"})
        except messages.Closed:
            return

    def _fail_when_asked(self) -> None:
        """A failure after `prepared` is the answer to `go`: until then wharfd is busy with the network."""
        if self._failure is None or (self._prepared and not self._wanted):
            return
        text, bare = self._failure
        self._clean_up()
        self._tell({"op": "failed", "text": text, "bare": bare})
        self._over = True

    def _reap(self) -> None:
        if not self._running and self._child.sync.fileno() >= 0:
            while self._child.sync.fileno() >= 0:
                self._hear_child()
            if self._over:
                return
        if not self._running:
            self._poller.forget(self._child.pidfd)
            return
        self._status = self._child.reap()
        self._exited_at = time.time_ns()
        if not self._is_exec:
            self._oom.ask(self._cgroup)

    # -- wharfd

    def _tell(self, message: dict[str, Any], fds: list[int] | None = None) -> None:
        if self._control is None:
            return
        try:
            messages.send(self._control, message, fds or [], _socket.MSG_DONTWAIT)
        except (messages.Closed, OSError):
            return

    def _accept(self) -> None:
        """A new wharfd: only root of this user namespace, that is our own user, gets in."""
        assert self._listener is not None
        fd, _ = self._listener._accept()  # type: ignore[attr-defined]
        sock = _socket.socket(fileno=fd)
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], "little") != os.getuid():
            sock.close()
            return
        if self._control is not None:
            self._poller.forget(self._control.fileno())
            self._control.close()
        self._control = sock
        self._poller.watch(sock.fileno(), _IN, lambda _events: self._hear())
        self._tell_status()

    def _tell_status(self) -> None:
        own = os.pidfd_open(os.getpid())
        body = {
            "op": "status",
            "pid": self._child.pid,
            "start_time": process.start_time(self._child.pid),
            "cgroup": self._request["cgroup"],
            "running": self._running,
        }
        self._tell(body, [self._child.pidfd, own])
        os.close(own)

    def _hear(self) -> None:
        assert self._control is not None
        try:
            message, fds = messages.receive(self._control, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except (messages.Closed, OSError):
            self._lost_control()
            return
        kept = self._obey(message, fds)
        if not kept:
            messages.close_all(fds)

    def _obey(self, message: dict[str, Any], fds: list[int]) -> bool:
        """Do what a message asks; whether its descriptors are taken."""
        match message["op"]:
            case "attach":
                streams = frozenset(n for n, key in ((1, "stdout"), (2, "stderr")) if message[key])
                self._pump.attach(_socket.socket(fileno=fds[0]), message["stdin"], streams, message.get("framed"))
                return True
            case "doorbell":
                self._pump.add_doorbell(fds[0])
                return True
            case "shipped":
                self._pump.shipped(message["time"])
            case "resize":
                self._size = (message["height"], message["width"])
                if self._terminal >= 0:
                    try:
                        terminal.resize(self._terminal, *self._size)
                    except OSError:
                        return False
            case "go":
                self._held += fds
                self._wanted = True
                if self._child.sync.fileno() < 0:
                    self._fail_when_asked()
                else:
                    self._let_go_on()
                return True
            case "abort":
                self._abort()
            case "status":
                self._tell_status()
        return False

    def _lost_control(self) -> None:
        assert self._control is not None
        self._poller.forget(self._control.fileno())
        self._control.close()
        self._control = None
        if not self._wanted:
            self._abort()

    # -- the end

    def _abort(self) -> None:
        self._clean_up()
        self._tell({"op": "aborted"})
        self._over = True

    def give_up(self, why: str) -> None:
        """Something unforeseen in this monitor itself: leave nothing behind and say why."""
        try:
            self._clean_up()
        finally:
            self._tell({"op": "failed", "text": why, "bare": True})

    def _let_go(self) -> None:
        """Free the published ports before anybody hears of the end: the next container may want them at once."""
        messages.close_all(self._held)
        self._held = []

    def _clean_up(self) -> None:
        self._let_go()
        if self._helper is not None:
            _signal_process(self._helper[1])
            self._reap_helper()
        self._child.kill()
        self._remove_state()
        cgroup = self._cgroup
        if cgroup is not None and not self._is_exec:
            cgroup.kill()
        self._delete_foreign()
        if cgroup is not None and not self._is_exec:
            cgroup.remove()

    def _delete_foreign(self) -> None:
        if self._request["runtime"] and not self._is_exec:
            foreign.delete(self._request["foreign"], self._request["id"])

    def _remove_state(self) -> None:
        monitor_files.remove(self._request["state_dir"], self._request["name"], others=not self._is_exec)

    def _end(self) -> None:
        """Drain, record, tidy, tell, and let slow clients read the rest."""
        self._poller.forget(self._child.pidfd)
        cgroup = self._cgroup
        if cgroup is not None and self._request["kill_on_exit"]:
            cgroup.kill()
        deadline = time.monotonic() + DRAIN_LIMIT
        while not self._pump.drained and time.monotonic() < deadline:
            self._poller.once(max(1, int((deadline - time.monotonic()) * 1000)))
        self._pump.end_outputs()
        if self._log is not None:
            self._log.file.close()
        self._pump.close_doorbells()
        record = self._record(cgroup)
        if self._control is None or not self._is_exec:
            monitor_files.write_atomically(self._request["exit_path"], record)
        self._delete_foreign()
        if cgroup is not None and not self._is_exec:
            try:
                cgroup.remove()
            except OSError as error:
                record["reason"] = str(error)
        self._remove_state()
        self._let_go()
        self._tell({"op": "exit", **record})
        self._pump.finish()

    def _record(self, cgroup: Cgroup | None) -> dict[str, Any]:
        number = os.WTERMSIG(self._status) if os.WIFSIGNALED(self._status) else 0
        code = 128 + number if number else os.WEXITSTATUS(self._status)
        oom = not self._is_exec and self._oom.ask(cgroup)
        return {"code": code, "signal": number, "oom": oom, "finished_at": self._exited_at, "reason": ""}


def _signal_process(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return
