"""The first process of a container of this command, and the process of an exec: from clone3 to execve.

The engine's building blocks in an order with hooks, and a wait for `start` at the end. Imports nothing after the
fork. Messages to the command: `terminal` (the master), `hooks` (before pivot_root), `ready`, `failed`. The end of
the socket without `failed` means execve for an exec.

The process that waits for `start` has no parent any more: from `ready` on it outlives the command that made it.
"""

import _socket
import os
import signal
from typing import Any, NamedTuple, NoReturn

from wharf.kernel import mounts as mnt
from wharf.kernel import namespaces as ns
from wharf.kernel import process, scheduling, seccomp
from wharf.kernel.mount_words import PROPAGATION
from wharf.runtime import credentials, init, messages, terminal
from wharf.runtime.credentials import InitFailed
from wharf.runtime.oci import hooks

_ENTERED = ns.CLONE_NEWNS | ns.CLONE_NEWNET | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS | ns.CLONE_NEWCGROUP
_TIME_CLOCKS = ("monotonic", "boottime")
_SHOWN_AFTER_PIVOT = mnt.MS_SHARED | mnt.MS_UNBINDABLE


class Inherited(init.Inherited):
    """What such a process keeps: also its cgroup's files, the socket for `start`, and descriptors for the program."""

    __slots__ = ("cgroup", "listener", "preserved")

    def __init__(self, sync: _socket.socket, join: dict[str, int], cgroup: list[int], listener: int, extra: int):
        super().__init__(sync, (0, 1, 2), -1, join)
        self.cgroup, self.listener = cgroup, listener
        self.preserved = set(range(3, 3 + extra))

    def keep(self) -> set[int]:
        """The descriptors."""
        return (super().keep() | set(self.cgroup) | {self.listener} | self.preserved) - {-1}


class _Launch(NamedTuple):
    """All that is left to do at execve."""

    program: str
    env: dict[str, str]
    labels: credentials.Labels


def run(inherited: Inherited, request: dict[str, Any]) -> NoReturn:
    """Become a container's first process; never returns."""
    init.guarded(inherited.sync, lambda: _run(inherited, request))


def run_exec(inherited: Inherited, request: dict[str, Any]) -> NoReturn:
    """Become one more process of a container; never returns."""
    init.guarded(inherited.sync, lambda: _run_exec(inherited, request))


def _run(inherited: Inherited, request: dict[str, Any]) -> None:
    spec, new, sync = request["spec"], request["new"], inherited.sync
    process.close_all_but(inherited.keep())
    init.begin()
    inherited.take_streams()
    messages.receive(sync)  # user maps are written, and whatever else only the host's root may do
    labels = credentials.Labels(spec["process"])
    _enter_cgroups(inherited.cgroup)
    if "cgroup" in new:
        ns.unshare(ns.CLONE_NEWCGROUP)
    _join(inherited.join)
    if "user" in new or "user" in inherited.join:
        _become_root()
    _new_time(spec["linux"], "time" in new)
    if "network" in new:
        init.raise_loopback()
    init.name_host(spec, "uts" in new or "uts" in inherited.join)
    init.build_root(request, request["points"], "cgroup" in new, sync, lambda: _before_pivot(sync, request))
    flags = PROPAGATION.get(spec["linux"].get("rootfsPropagation") or "", 0)
    if flags & _SHOWN_AFTER_PIVOT:
        mnt.mount("", "/", None, flags)
    if request["keyring"]:
        process.new_session_keyring(f"_ses.{request['id']}")
    launch = _take_on(spec["process"], request, labels)
    # From here on the command that made this process may go.
    process.prctl(process.PR_SET_PDEATHSIG, 0)
    messages.send(sync, {"op": "ready"})
    sync.close()
    _wait_for_start(inherited.listener, request, launch)


def _run_exec(inherited: Inherited, request: dict[str, Any]) -> None:
    spec, sync = request["spec"]["process"], inherited.sync
    process.close_all_but(inherited.keep())
    init.begin()
    inherited.take_streams()
    messages.receive(sync)
    labels = credentials.Labels(spec)
    _enter_cgroups(inherited.cgroup)
    kinds = _ENTERED | (ns.CLONE_NEWUSER if request["user_namespace"] else 0)
    try:
        ns.setns(inherited.join["init"], kinds)
    except OSError as error:
        raise InitFailed(f"{messages.JOINING}{credentials.errno_text(error)}") from None
    os.close(inherited.join["init"])
    if request["user_namespace"]:
        _become_root()
    os.chdir("/")
    if spec.get("terminal"):
        terminal.open_own(spec.get("consoleSize"), sync)
    process.new_session_keyring(f"_ses.{request['id']}")
    launch = _take_on(spec, request, labels)
    process.prctl(process.PR_SET_PDEATHSIG, 0)
    messages.send(sync, {"op": "ready"})
    messages.receive(sync)
    _execute(spec, request, launch)


def _enter_cgroups(fds: list[int]) -> None:
    for fd in fds:
        os.write(fd, b"0")
        os.close(fd)


def _join(joined: dict[str, int]) -> None:
    """Enter namespaces given by path, the user's first: it owns what is needed for the others."""
    for kind in sorted(joined, key=lambda name: name != "user"):
        if kind != "pid":  # the command has done that: a pid namespace holds for children only
            flag = ns.CLONE_NEWTIME if kind == "time" else ns.FLAG_OF_TYPE[kind]
            try:
                ns.setns(joined[kind], flag)
            except OSError as error:
                raise InitFailed(f"unable to join namespace {kind}: {credentials.errno_text(error)}") from None
        os.close(joined[kind])


def _become_root() -> None:
    """Root of the new user namespace; a change of credentials clears the signal that follows a parent's death."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    process.prctl(process.PR_SET_DUMPABLE, 0)
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)


def _new_time(linux: dict[str, Any], own: bool) -> None:
    """A time namespace holds for children only and takes its offsets before the first of them: make, set, enter."""
    if not own:
        return
    ns.unshare(ns.CLONE_NEWTIME)
    offsets = linux.get("timeOffsets") or {}
    lines = [
        f"{clock} {offsets[clock].get('secs', 0)} {offsets[clock].get('nanosecs', 0)}\n"
        for clock in _TIME_CLOCKS
        if clock in offsets
    ]
    if lines:
        with open("/proc/self/timens_offsets", "w") as file:
            file.write("".join(lines))
    fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
    ns.setns(fd, ns.CLONE_NEWTIME)
    os.close(fd)


def _before_pivot(sync: _socket.socket, request: dict[str, Any]) -> None:
    messages.send(sync, {"op": "hooks"})
    message, _ = messages.receive(sync)
    try:
        hooks.run_all(request["spec"], "createContainer", message["state"])
    except hooks.HookFailed as error:
        raise InitFailed(str(error)) from None


def _take_on(spec: dict[str, Any], request: dict[str, Any], labels: credentials.Labels) -> _Launch:
    """User, limits, capabilities; the program to run and its environment."""
    umask = (spec.get("user") or {}).get("umask")
    if umask is not None:
        os.umask(umask)
    _schedule(spec, request["spec"].get("linux") or {})
    who = credentials.identity(spec, None, [])
    credentials.set_limits(spec.get("rlimits") or [])
    credentials.own_streams(who.uid)
    env = credentials.environment(spec.get("env") or [], who.home)
    init.enter_early(spec["cwd"])
    if request["seccomp"] and not spec.get("noNewPrivileges"):
        # While CAP_SYS_ADMIN is held. With no_new_privs it is the very last thing, see _execute.
        seccomp.install(bytes.fromhex(request["seccomp"]), request["seccomp_flags"])
    credentials.become(_with_usable_ambient(spec), who, request["held"], request["last_capability"], b"")
    credentials.enter_directory(spec["cwd"])
    return _Launch(credentials.find_program(spec["args"][0], env.get("PATH", "")), env, labels)


def _with_usable_ambient(spec: dict[str, Any]) -> dict[str, Any]:
    """The kernel raises what is permitted and inheritable only (capabilities(7)); the rest is left out, as in runc."""
    sets = spec.get("capabilities") or {}
    usable = set(sets.get("permitted") or ()) & set(sets.get("inheritable") or ())
    return {**spec, "capabilities": {**sets, "ambient": [name for name in sets.get("ambient") or () if name in usable]}}


def _schedule(spec: dict[str, Any], linux: dict[str, Any]) -> None:
    """`scheduler`, `ioPriority`, `personality`; unknown words are refused by name."""
    wanted = spec.get("scheduler")
    try:
        if wanted:
            flags = sum(scheduling.SCHEDULER_FLAGS[name] for name in wanted.get("flags") or ())
            deadline = (wanted.get("runtime") or 0, wanted.get("deadline") or 0, wanted.get("period") or 0)
            policy = scheduling.POLICIES[wanted["policy"]]
            scheduling.set_scheduler(policy, flags, wanted.get("nice") or 0, wanted.get("priority") or 0, deadline)
        priority = spec.get("ioPriority")
        if priority:
            scheduling.set_io_priority(scheduling.IO_CLASSES[priority["class"]], priority.get("priority") or 0)
        personality = linux.get("personality")
        if personality:
            scheduling.set_personality(scheduling.PERSONALITIES[personality["domain"]])
    except KeyError as error:
        raise InitFailed(f"the process cannot be scheduled with {error}: it is not known") from None


def _wait_for_start(listener: int, request: dict[str, Any], launch: _Launch) -> None:
    sock = _socket.socket(fileno=listener)
    fd, _ = sock._accept()  # type: ignore[attr-defined]
    sock.close()
    connection = _socket.socket(fileno=fd)
    init.guarded(connection, lambda: _started(connection, request, launch))


def _started(connection: _socket.socket, request: dict[str, Any], launch: _Launch) -> None:
    message, _ = messages.receive(connection)
    try:
        hooks.run_all(request["spec"], "startContainer", {**message["state"], "pid": os.getpid()})
    except hooks.HookFailed as error:
        raise InitFailed(str(error)) from None
    _execute(request["spec"]["process"], request, launch)


def _execute(spec: dict[str, Any], request: dict[str, Any], launch: _Launch) -> NoReturn:
    launch.labels.put_on()
    if request["seccomp"] and spec.get("noNewPrivileges"):
        seccomp.install(bytes.fromhex(request["seccomp"]), request["seccomp_flags"])
    try:
        os.execve(launch.program, spec["args"], launch.env)
    except OSError as error:
        raise InitFailed(f"exec {launch.program}: {credentials.errno_text(error)}") from None
