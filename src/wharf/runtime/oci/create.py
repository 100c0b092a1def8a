"""`create`: everything up to the point where the program of the container could run.

Steps, each undone when a later one fails: directory and state, cgroup, first process, hooks, pid file.
"""

import _socket
import contextlib
import datetime
import os
from dataclasses import dataclass
from typing import Any

from wharf.kernel import namespaces as ns
from wharf.kernel import process
from wharf.kernel.cgroup import Cgroup
from wharf.kernel.lsm import selinux
from wharf.runtime import messages
from wharf.runtime.mount_options import ID_MAPS
from wharf.runtime.oci import birth, cgroups, console, first, hooks, spec_check
from wharf.runtime.oci.birth import Child
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.log import Log
from wharf.runtime.oci.state import START_SOCKET, Container, Store
from wharf.spec.host import Host

_HOST_ONLY_NAMESPACES = ("cgroup", "time")  # left until the child is in its cgroup, and has its offsets


@dataclass(slots=True)
class Options:
    """Flags of create and run."""

    bundle: str = "."
    console_socket: str = ""
    pid_file: str = ""
    no_new_keyring: bool = False
    preserve_fds: int = 0
    listen_fds: int = 0
    detached: bool = True
    pidfd_socket: str = ""
    systemd_cgroup: bool = False


@dataclass(slots=True)
class Created:
    """A container that waits for `start`; `master` is its terminal when nobody else got it."""

    container: Container
    child: Child
    master: int = -1


def create(store: Store, name: str, options: Options, host: Host, log: Log) -> Created:
    """Make the container `name` from a bundle; raises CommandFailed and leaves nothing behind."""
    bundle = os.path.realpath(options.bundle)
    config = spec_check.read_config(bundle)
    spec_check.check(config, host)
    left_out = spec_check.not_grantable(config["process"], host)
    if left_out:
        log.write("warning", f"ignoring unknown or unavailable capabilities: {', '.join(left_out)}")
    _label_mounts(config)
    console.check(bool(config["process"].get("terminal")), options.console_socket, options.detached)
    rootfs = os.path.realpath(os.path.join(bundle, config["root"]["path"]))
    if not os.path.isdir(rootfs):
        raise CommandFailed(f"invalid rootfs: stat {rootfs}: no such file or directory")
    _resolve_binds(config, bundle)
    _tell_listen_fds(config["process"], options.listen_fds)
    os.chdir(bundle)
    with contextlib.ExitStack() as undo:
        directory = store.make(name)
        undo.callback(store.remove, name)
        container = _container(name, bundle, rootfs, config, host)
        cgroups.settle(container, options.systemd_cgroup, host)
        store.save(container)
        undo.enter_context(store.locked(name))
        undo.callback(_poststop, container, log)
        log.write("debug", f"config.json of {bundle} can be carried out; making the cgroup {container.cgroup}")
        cgroup = cgroups.make(container)
        undo.callback(cgroups.end, container)
        creation = _Creation(store, container, options, host)
        child = creation.clone(directory, cgroup)
        undo.callback(child.kill)
        cgroups.enclose(container, child.pid)
        log.write("debug", f"first process {child.pid} is cloned; making its mounts")
        creation.talk(child)
        log.write("debug", f"first process {child.pid} waits for start")
        container.pid, container.start_time = child.pid, process.start_time(child.pid)
        store.save(container)
        console.hand_pidfd(options.pidfd_socket, child.pidfd, b"standard")
        console.write_pid_file(options.pid_file, child.pid)
        undo.pop_all()
    return Created(container, child, creation.master)


def _container(name: str, bundle: str, rootfs: str, config: dict[str, Any], host: Host) -> Container:
    now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017
    annotations = {str(key): str(value) for key, value in (config.get("annotations") or {}).items()}
    return Container(
        id=name,
        bundle=bundle,
        rootfs=rootfs,
        config=config,
        created=now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        owner=os.getuid(),
        cgroup_mounts=host.cgroup_mounts,
        boot_id=host.boot_id,
        annotations=annotations,
    )


def _resolve_binds(config: dict[str, Any], bundle: str) -> None:
    """The source of a bind may be relative to the bundle, and maps of its own need no word (config.md#mounts)."""
    for item in config["mounts"]:
        words = item.get("options") or ()
        is_bind = item.get("type") in (None, "", "bind") or "bind" in words or "rbind" in words
        if is_bind and item.get("source"):
            item["source"] = os.path.join(bundle, item["source"])
        if item.get("uidMappings") and not set(ID_MAPS) & set(words):
            item["options"] = [*words, "idmap"]


def _label_mounts(config: dict[str, Any]) -> None:
    """File systems that are mounted anew get `linux.mountLabel` where they know labels, as runc gives it."""
    label = config["linux"].get("mountLabel")
    for item in config["mounts"] if label else ():
        if item.get("type") in ("tmpfs", "devpts", "ramfs"):
            item["options"] = [*(item.get("options") or ()), *selinux.mount_option(label)]


def _tell_listen_fds(program: dict[str, Any], number: int) -> None:
    """Sockets that a service manager handed over (sd_listen_fds(3)) belong to the first process: it is number 1."""
    if number:
        program["env"] = [*(program.get("env") or ()), f"LISTEN_FDS={number}", "LISTEN_PID=1"]


def _poststop(container: Container, log: Log) -> None:
    for problem in hooks.run_poststop(container.config, container.state("stopped")):
        log.write("warning", problem)


class _Creation:
    """The first process on its way: what it inherits, and what it is told."""

    def __init__(self, store: Store, container: Container, options: Options, host: Host) -> None:
        self._store, self._container, self._options, self._host = store, container, options, host
        self._linux: dict[str, Any] = container.config["linux"]
        self.master = -1

    def clone(self, directory: str, cgroup: Cgroup | None) -> Child:
        """Clone it into its namespaces."""
        items = self._linux.get("namespaces") or []
        new = [item["type"] for item in items if not item.get("path")]
        joined = {item["type"]: _open_namespace(item) for item in items if item.get("path")}
        ours, theirs = messages.pair()
        listener = _listen(directory)
        fds = cgroup.join_fds() if cgroup is not None else []
        inherited = first.Inherited(theirs, joined, fds, listener, self._options.preserve_fds)
        flags = 0
        for kind in new:
            if kind not in _HOST_ONLY_NAMESPACES:
                flags |= ns.FLAG_OF_TYPE[kind]
        return birth.clone(first.run, inherited, self._request(new), ours, flags)

    def _request(self, new: list[str]) -> dict[str, Any]:
        config, container = self._container.config, self._container
        place = container.open_cgroup()
        return {
            "id": container.id,
            "spec": config,
            "new": new,
            "points": place.mount_points() if place is not None else {},
            "rootfs": {"source": container.rootfs, "options": []},
            "mount_point": container.rootfs,
            "overlay_append": self._host.overlay_lowerdir_append,
            "new_mount_api": self._host.new_mount_api,
            "mknod": self._host.mknod and not any(n["type"] == "user" for n in self._linux.get("namespaces") or ()),
            "keyring": not self._options.no_new_keyring,
            **birth.capabilities_of(self._host),
            **birth.filter_of(config, config["process"], self._host),
        }

    def talk(self, child: Child) -> None:
        """Until it waits for `start`."""
        container = self._container
        if any(item["type"] == "user" and not item.get("path") for item in self._linux.get("namespaces") or ()):
            birth.write_maps(child.pid, self._linux)
        birth.write_oom_score(child.pid, container.config["process"].get("oomScoreAdj"))
        child.tell({"op": "go"})
        while True:
            message, fds = child.hear()
            if message == "ready":
                return
            if message == "gone":
                raise CommandFailed(birth.INIT_PREFIX + "the first process ended before it could run a program")
            if message == "terminal":
                self._terminal(fds[0])
            elif message == "hooks":
                self._hooks(child)

    def _terminal(self, master: int) -> None:
        if self._options.console_socket:
            console.hand_over(self._options.console_socket, master)
        else:
            self.master = master

    def _hooks(self, child: Child) -> None:
        """prestart and createRuntime, while the first process waits before pivot_root."""
        container = self._container
        container.pid, container.start_time = child.pid, process.start_time(child.pid)
        state = container.state("creating")
        try:
            hooks.run_all(container.config, "prestart", state)
            hooks.run_all(container.config, "createRuntime", state)
        except hooks.HookFailed as error:
            raise CommandFailed(birth.INIT_PREFIX + str(error)) from None
        child.tell({"op": "go", "state": state})


def _open_namespace(item: dict[str, Any]) -> int:
    try:
        return os.open(item["path"], os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        text = os.strerror(error.errno or 0).lower()
        raise CommandFailed(f"namespace {item['type']}: open {item['path']}: {text}") from None


def _listen(directory: str) -> int:
    """The socket of `start`; its path goes through a directory descriptor (108 bytes is all that a name may have)."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        sock.bind(f"/proc/self/fd/{fd}/{START_SOCKET}")
        os.chmod(f"{directory}/{START_SOCKET}", 0o600)
        sock.listen(1)
        return sock.detach()
    finally:
        os.close(fd)
