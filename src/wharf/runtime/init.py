"""The first process of a container, from clone3 to execve. Imports nothing and allocates little after the fork.

It runs beside the monitor's talk with wharfd: as soon as it exists it hands out its network namespace, then
builds the root while wharfd plumbs the network, and waits for `go` before it becomes the user's program.

Messages to the monitor: `born` (descriptors: network namespace, rtnetlink socket), `terminal` (the master),
`failed` (text, bare). End of file without `failed` means that execve has happened.
"""

import _socket
import fcntl
import os
import signal
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from wharf.kernel import mounts as mnt
from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.kernel.beneath import make_directory
from wharf.kernel.cgroup import Cgroup, open_cgroup
from wharf.kernel.cgroup.files import LimitRefused
from wharf.kernel.paths import open_in_root
from wharf.runtime import binds, credentials, devices, messages, rootfs, terminal, userns
from wharf.runtime.credentials import InitFailed
from wharf.runtime.mount_options import MountFailed

SHARED_MEMORY = "shm"
"""Source of a bind: /dev/shm of the container whose ipc namespace is joined."""
_SIOCSIFFLAGS = 0x8914
_LIMITING = "error setting cgroup config for procHooks process: "
_IFF_UP = 1


class Inherited:
    """The descriptors that a first process gets from its monitor; everything else is closed."""

    __slots__ = ("body", "join", "streams", "sync")

    def __init__(
        self,
        sync: _socket.socket,
        streams: tuple[int, int, int],
        body: int,
        join: dict[str, int],
    ) -> None:
        self.sync, self.streams, self.body, self.join = sync, streams, body, join

    def keep(self) -> set[int]:
        """The descriptors."""
        return {self.sync.fileno(), self.body, *self.streams, *self.join.values()}

    def take_streams(self) -> None:
        """Make the streams 0, 1 and 2 of this process."""
        for number, fd in enumerate(self.streams):
            os.dup2(fd, number)


def run(inherited: Inherited, head: dict[str, Any]) -> NoReturn:
    """Become the container's first process; `head` is the monitor's request. Never returns."""
    guarded(inherited.sync, lambda: _run(inherited, head))


def run_ahead(sync: _socket.socket) -> NoReturn:
    """Be cloned before there is a request; its head and descriptors come over `sync` (`hand_over`). Never returns."""
    guarded(sync, lambda: _run_ahead(sync))


def _run_ahead(sync: _socket.socket) -> None:
    process.close_all_but({0, 1, 2, sync.fileno()})
    begin()
    network = own_network()
    head, (body, *streams) = messages.receive(sync)
    # Not ahead: a copy of the host's mounts would keep busy what the host unmounts meanwhile.
    ns.unshare(ns.CLONE_NEWNS)
    inherited = Inherited(sync, (streams[0], streams[1], streams[2]), body, {})
    inherited.take_streams()
    messages.close_all(streams)
    _build(inherited, head, network)


def hand_over(sync: _socket.socket, head: dict[str, Any], body: int, streams: "tuple[int, int, int]") -> None:
    """Give a process of `run_ahead` what it waits for."""
    messages.send(sync, head, [body, *streams])


def cgroup_of(head: dict[str, Any]) -> Cgroup | None:
    """The cgroup to be in."""
    return open_cgroup(head["cgroup_mounts"], head["cgroup"]) if head["cgroup"] else None


def guarded(sync: _socket.socket, body: Callable[[], None]) -> NoReturn:
    """Run the body of a forked child: every failure is told to the monitor, and nothing returns to its loop."""
    try:
        body()
    except InitFailed as error:
        _fail(sync, error.text, error.bare)
    except MountFailed as error:
        _fail(sync, str(error), error.bare)
    except OSError as error:
        _fail(sync, _go_words(error))
    except messages.Closed:
        pass
    except Exception as error:
        _fail(sync, f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def _go_words(error: OSError) -> str:
    """`step path: no such file or directory`: the exit code of a failed start is read off the words."""
    step = str(error.strerror or "").rpartition(": ")[0]
    place = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    return ": ".join(part for part in (f"{step} {place}".strip(), credentials.errno_text(error)) if part)


def _fail(sync: _socket.socket, text: str, bare: bool = False) -> None:
    try:
        messages.send(sync, {"op": "failed", "text": text, "bare": bare})
    except (messages.Closed, OSError):
        return


def _run(inherited: Inherited, head: dict[str, Any]) -> None:
    process.close_all_but(inherited.keep())
    begin()
    inherited.take_streams()
    trees = userns.await_maps(inherited.sync) if head.get("userns") else None
    if trees is not None and "ipc" in head["new"]:
        ns.unshare(ns.CLONE_NEWIPC)
    _build(inherited, head, own_network() if "network" in head["new"] else None, trees)


def _build(
    inherited: Inherited, head: dict[str, Any], network: tuple[int, int] | None, trees: userns.Trees | None = None
) -> None:
    """All that follows once the namespaces are there; `network`: descriptors to hand out.

    `trees`: what was mounted outside of a user namespace, where also cgroup and score were set.
    """
    new, donor = head["new"], inherited.join.pop("shm", -1)
    messages.send(inherited.sync, {"op": "born"}, network or ())
    messages.close_all(network or ())
    request = messages.from_memfd(inherited.body)
    spec, cgroup = request["spec"], cgroup_of(head)
    if cgroup is not None and trees is None:
        _limit(cgroup, spec["linux"].get("resources") or {})
        enter_cgroup(cgroup)
    if "cgroup" in new:
        ns.unshare(ns.CLONE_NEWCGROUP)
    for kind, fd in inherited.join.items():
        if kind not in ("pid", "user"):  # the monitor has done that: both hold for what is cloned afterwards
            ns.setns(fd, ns.FLAG_OF_TYPE[kind])
    if spec["process"].get("oomScoreAdj") is not None and trees is None:
        write_oom_score(spec["process"]["oomScoreAdj"])
    credentials.confine(spec["process"])
    name_host(spec, "uts" in new)
    if donor >= 0:
        shared = shared_memory(donor, spec["mounts"])
        trees = userns.Trees(trees.root if trees else -1, {**(trees.binds if trees else {}), **shared})
    points = cgroup.mount_points() if cgroup is not None else {}
    build_root(request, points, "cgroup" in new, inherited.sync, trees=trees)
    process.new_session_keyring(f"_ses.{request['id']}")
    finish(request, inherited.sync)


def _limit(cgroup: Cgroup, resources: dict[str, Any]) -> None:
    """Make the cgroup; what goes wrong is said as runc says it, which sets real time before all else."""
    try:
        cgroup.create(resources)
    except LimitRefused as error:
        raise InitFailed(f"{_LIMITING}{error}") from None
    except OSError as error:
        early = "/cpu.rt_" in str(error.filename)
        raise InitFailed((messages.APPLYING if early else _LIMITING) + _go_words(error)) from None


def shared_memory(donor: int, mounts: list[dict[str, Any]]) -> dict[int, int]:
    """/dev/shm of the container whose ipc namespace is joined, as a detached mount: by its index in the plan.

    `donor`: its mount namespace, closed. The plan has it as a bind of SHARED_MEMORY, or not at all.
    """
    own = ns.open_namespace("mount")
    try:
        ns.setns(donor, ns.CLONE_NEWNS)
        try:
            tree = mnt.open_tree("/dev/shm", mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC)
        finally:
            ns.setns(own, ns.CLONE_NEWNS)
    finally:
        os.close(own)
        os.close(donor)
    wanted = ("bind", SHARED_MEMORY)
    found = [index for index, item in enumerate(mounts) if (item.get("type"), item.get("source")) == wanted]
    if not found:  # the user mounts something else there
        os.close(tree)
    return dict.fromkeys(found, tree)


def begin() -> None:
    """What comes first in every process that enters a container, once foreign descriptors are closed: no ptrace,
    own session."""
    process.prctl(process.PR_SET_DUMPABLE, 0)
    process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
    credentials.default_signals()
    os.setsid()
    os.umask(0o022)


def enter_cgroup(cgroup: Cgroup) -> None:
    """Move the calling process in by writing "0" ("me") to each of the cgroup's files."""
    for fd in cgroup.join_fds():
        os.write(fd, b"0")
        os.close(fd)


def own_network() -> tuple[int, int]:
    """Bring up `lo`; descriptors of the network namespace and of an rtnetlink socket opened inside."""
    netns = ns.open_namespace("network")
    rtnl = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _socket.NETLINK_ROUTE)
    raise_loopback()
    return netns, rtnl.detach()


def raise_loopback() -> None:
    """`lo` up, in the network namespace of the caller."""
    control = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    fcntl.ioctl(control.fileno(), _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
    control.close()


def write_oom_score(value: int) -> None:
    """oom_score_adj of the calling process, while the host's /proc is in sight."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(value).encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise InitFailed(f"can't set oom score adj to {value}: {credentials.errno_text(error)}") from None


def name_host(spec: dict[str, Any], own: bool) -> None:
    """Host and domain name of the specification, when the uts namespace is the container's own."""
    if own and spec.get("hostname"):
        _socket.sethostname(spec["hostname"])
    if own and spec.get("domainname"):
        process.set_domainname(spec["domainname"])


def build_root(
    request: dict[str, Any],
    points: dict[str, str],
    own_cgroupns: bool,
    sync: _socket.socket,
    before_pivot: Callable[[], None] | None = None,
    trees: userns.Trees | None = None,
) -> None:
    """Make the mounts, devices and masks of the specification, call `before_pivot`, and go into the new root."""
    spec, linux, base = request["spec"], request["spec"]["linux"], request["mount_point"]
    trees_of: dict[int, int] | None = None
    if request["new_mount_api"]:
        trees_of = {**binds.clone_shared(spec["mounts"]), **(trees.binds if trees else {})}
    rootfs.enter_private_tree(linux.get("rootfsPropagation", ""))
    if trees_of is not None and (trees is None or trees.root < 0):
        trees_of |= binds.image_trees(request)
    if trees is None or trees.root < 0:
        rootfs.mount_root(request["rootfs"], base, request["overlay_append"])
        root = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        root = trees.root
        userns.mount_root(root)
    rootfs.mount_all(root, spec["mounts"], points, own_cgroupns, trees_of, request.get("images") or {})
    sources = [item["source"] for item in spec["mounts"] if item.get("source", "").startswith("/")]
    devices.make_devices(
        root, linux.get("devices") or [], sources, request["mknod"] and (trees is None or trees.root < 0)
    )
    try:
        devices.write_sysctls(root, linux.get("sysctl") or {}, {item["type"] for item in linux["namespaces"]})
    except devices.SysctlRefused as error:
        raise credentials.InitFailed(str(error)) from None
    if spec["process"].get("terminal"):
        _open_terminal(root, spec["process"], sync)
    rootfs.make_read_only(root, linux.get("readonlyPaths") or [])
    rootfs.mask(root, linux.get("maskedPaths") or [])
    _make_working_directory(root, spec["process"]["cwd"])
    if before_pivot is not None:
        before_pivot()
    rootfs.pivot(root)
    os.close(root)
    if (spec.get("root") or {}).get("readonly"):
        rootfs.set_root_read_only()


def _open_terminal(root: int, spec: dict[str, Any], sync: _socket.socket) -> None:
    master = open_in_root(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    terminal.take(master, spec.get("consoleSize"), sync, lambda slave: rootfs.bind_console(root, slave))


def finish(request: dict[str, Any], sync: _socket.socket) -> None:
    """The end of every start: look up the user, drop what must be dropped, wait for `go`, execve."""
    spec = request["spec"]["process"]
    who = credentials.identity(spec, request["user"], request["groups"])
    credentials.set_limits(spec.get("rlimits") or [], "error setting rlimits for ready process: ")
    credentials.own_streams(who.uid)
    env = credentials.environment(spec.get("env") or [], who.home)
    enter_early(spec["cwd"])
    credentials.become(spec, who, request["held"], request["last_capability"], bytes.fromhex(request["seccomp"]))
    credentials.enter_directory(spec["cwd"])
    program = credentials.find_program(spec["args"][0], env.get("PATH", ""))
    messages.send(sync, {"op": "ready"})
    messages.receive(sync)
    # `sync` closes by itself at execve: that is how the monitor learns of it.
    credentials.execute(program, spec["args"], env)


def _make_working_directory(root: int, path: str) -> None:
    """Docker makes a missing one, and has words of its own for what is none."""
    try:
        os.close(make_directory(root, path))
    except NotADirectoryError:
        raise credentials.InitFailed(f"Cannot mkdir: {path} is not a directory", bare=True) from None


def enter_early(path: str) -> None:
    """A directory that only root may enter is entered as root (runc does both); its refusal is told later."""
    try:
        os.chdir(path)
    except OSError:
        return
