"""From the monitor's request to a child: pipes, descriptors, clone3."""

import _socket
import fcntl
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.runtime import foreign, init, messages, setns_init, userns
from wharf.runtime.pump import Pump

PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031


class Child:
    """The first process as its monitor sees it."""

    def __init__(self) -> None:
        self.pid = 0
        self.pidfd = -1
        self.start_time = 0
        self.sync = _socket.socket()
        self._stdin = self._stdout = self._stderr = -1
        self._stdin_once = False

    def become(self, pid: int) -> None:
        """Be another process, which a runtime made and which is the monitor's child by now."""
        self.pid, self.pidfd, self.start_time = pid, os.pidfd_open(pid), process.start_time(pid)
        process.prctl(process.PR_SET_CHILD_SUBREAPER, 0)

    def connect(self, pump: Pump) -> None:
        """Hand the ends of the pipes to the pump."""
        if self._stdin >= 0:
            pump.set_input(self._stdin, self._stdin_once)
        for fd, number in ((self._stdout, 1), (self._stderr, 2)):
            if fd >= 0:
                pump.add_output(fd, number)

    def reap(self) -> int:
        """Wait for the end that the pidfd has announced; the wait status."""
        pid, self.pid = self.pid, 0
        return os.waitpid(pid, 0)[1]

    def kill(self) -> None:
        """SIGKILL and reap; a child that is gone, or was never born, is fine."""
        if self.pid <= 0:
            return
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.reap()

    def set_pipes(self, stdin: int, stdout: int, stderr: int, stdin_once: bool) -> None:
        """Our ends of the standard streams; -1 for none."""
        self._stdin, self._stdout, self._stderr, self._stdin_once = stdin, stdout, stderr, stdin_once


_AHEAD = frozenset(("mount", "network", "uts", "ipc", "pid"))
"""Namespaces of a process cloned ahead, as most containers want them; mount comes with the request."""


class Ahead:
    """A first process cloned before its request, with namespaces of its own: a start finds that work done."""

    def __init__(self) -> None:
        self._sync, theirs = messages.pair()
        flags = sum(ns.FLAG_OF_TYPE[kind] for kind in _AHEAD if kind != "mount")
        try:
            self._pid, self._pidfd = ns.clone3(flags)
        except OSError:
            self._sync.close()
            theirs.close()
            raise
        if self._pid == 0:
            init.run_ahead(theirs)
        theirs.close()

    @staticmethod
    def fits(request: dict[str, Any]) -> bool:
        """Whether the request asks for what is here."""
        return request["kind"] == "container" and not request["join"] and set(request["new"]) - {"cgroup"} == _AHEAD

    def adopt(self, child: Child, request: dict[str, Any], body: int, streams: tuple[int, int, int]) -> bool:
        """Hand it its request and make it the child; False when it was killed meanwhile."""
        try:
            init.hand_over(self._sync, request, body, streams)
        except messages.Closed:
            self.discard()
            return False
        child.sync, child.pid, child.pidfd = self._sync, self._pid, self._pidfd
        return True

    def discard(self) -> None:
        """End it."""
        self._sync.close()
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.waitpid(self._pid, 0)
        os.close(self._pidfd)


def _wide_pipe() -> tuple[int, int]:
    """A pipe with room: fewer and larger reads. Where the user's pipe pages are used up the usual size stays."""
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, _F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        pass
    return reader, writer


def give_birth(request: dict[str, Any], body: int, joined: dict[str, int], ahead: Ahead | None = None) -> Child:
    """Clone the first process, or take the one cloned `ahead`; it parses `body`.

    `joined`: namespaces to enter (OCI type -> descriptor).
    """
    child = Child()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    streams = [null, null, null]
    ours = [-1, -1, -1]
    if not request["terminal"]:
        if request["open_stdin"]:
            streams[0], ours[0] = os.pipe()
        ours[1], streams[1] = _wide_pipe()
        ours[2], streams[2] = _wide_pipe()
    child.set_pipes(ours[0], ours[1], ours[2], request["stdin_once"])
    three = (streams[0], streams[1], streams[2])
    if ahead is None or not ahead.adopt(child, request, body, three):
        child.sync, theirs = messages.pair()
        _clone(child, request, init.Inherited(theirs, three, body, joined))
        theirs.close()
    messages.close_all(list(set(streams)))
    return child


def _clone(child: Child, request: dict[str, Any], inherited: init.Inherited) -> None:
    run = _role(request)
    mapped = request.get("userns")
    body: dict[str, Any] = {}
    if mapped:
        userns.give_streams(mapped, inherited.streams)
        if request["kind"] == "container":
            body = messages.from_memfd(os.dup(inherited.body))
            userns.prepare(request, body)
    flags, user = _flags(request, inherited.join), inherited.join.get("user", -1)
    child.pid, child.pidfd = ns.clone3(flags) if user < 0 else userns.clone_inside(user, flags)
    if child.pid == 0:
        run(inherited, request)
    if body:
        userns.complete(child.pid, child.sync, request, body)


def _role(request: dict[str, Any]) -> Callable[[init.Inherited, dict[str, Any]], NoReturn]:
    """What the cloned process will be."""
    if request["runtime"]:
        return foreign.execute if request["kind"] == "exec" else foreign.create
    return setns_init.run if request["kind"] == "exec" else init.run


def _flags(request: dict[str, Any], joined: dict[str, int]) -> int:
    """Namespaces to make at clone; pid is joined here already, cgroup is left until the child is in its cgroup."""
    if request["runtime"]:
        # The process that the runtime makes becomes the monitor's child when the runtime has ended.
        process.prctl(process.PR_SET_CHILD_SUBREAPER, 1)
        return 0 if request["kind"] == "exec" else ns.CLONE_NEWNS
    if request["kind"] == "exec":
        setns_init.join_pid_namespace(joined)
        return 0
    flags = 0
    # The queues of an ipc namespace belong to who makes it: with a user namespace, its root, once there is one.
    later = ("cgroup", "ipc") if request.get("userns") else ("cgroup",)
    for kind in request["new"]:
        if kind not in later:
            flags |= ns.FLAG_OF_TYPE[kind]
    if "pid" in joined:
        ns.setns(joined["pid"], ns.CLONE_NEWPID)
    return flags
