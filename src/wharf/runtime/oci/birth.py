"""From a checked configuration to a first process: descriptors, clone3, user maps, and the talk until it is ready."""

import _socket
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from wharf.errors import WharfError
from wharf.kernel import namespaces as ns
from wharf.kernel.seccomp import FLAGS
from wharf.kernel.seccomp_compiler import compile_profile
from wharf.runtime import messages
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.first import Inherited
from wharf.spec.host import Host

INIT_PREFIX = "unable to start container process: error during container init: "
EXEC_PREFIX = "unable to start container process: "


@dataclass(slots=True)
class Child:
    """A process between clone3 and execve, with our end of its socket."""

    pid: int
    pidfd: int
    sync: _socket.socket
    prefix: str = INIT_PREFIX

    def tell(self, message: dict[str, Any]) -> None:
        """Let it go on."""
        with contextlib.suppress(messages.Closed):
            messages.send(self.sync, message)

    def hear(self) -> tuple[str, list[int]]:
        """Its next message; raises CommandFailed when it failed, `("gone", [])` at the end of its socket."""
        try:
            message, fds = messages.receive(self.sync)
        except messages.Closed:
            return "gone", []
        if message["op"] == "failed":
            raise CommandFailed(self.prefix + message["text"])
        return str(message["op"]), fds

    def kill(self) -> None:
        """SIGKILL and reap."""
        with contextlib.suppress(ProcessLookupError, OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def filter_of(config: dict[str, Any], process: dict[str, Any], host: Host) -> dict[str, Any]:
    """The compiled `linux.seccomp` with its flags, as a part of a request."""
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile:
        return {"seccomp": "", "seccomp_flags": 0}
    bounding = frozenset((process.get("capabilities") or {}).get("bounding") or ())
    names = profile.get("flags") or ()
    unknown = [name for name in names if name not in FLAGS]
    if unknown:
        raise CommandFailed(f"seccomp flags not supported: {', '.join(unknown)}")
    try:
        program = compile_profile(profile, bounding, host.machine, host.kernel_release)
    except WharfError as error:
        raise CommandFailed(str(error)) from None
    return {"seccomp": program.hex(), "seccomp_flags": sum(FLAGS[name] for name in names)}


def capabilities_of(host: Host) -> dict[str, int]:
    """What this host has to give, as a part of a request."""
    return {
        "held": sum(1 << number for number in host.capabilities),
        "last_capability": host.last_capability,
    }


def clone(
    run: Callable[[Inherited, dict[str, Any]], NoReturn],
    inherited: Inherited,
    request: dict[str, Any],
    ours: _socket.socket,
    flags: int,
) -> Child:
    """Clone the process; `inherited.sync` is its end of the pair whose other is `ours`."""
    gc.disable()
    with _children_in(inherited.join.get("pid"), inherited.join.get("init")):
        pid, pidfd = ns.clone3(flags)
        if pid == 0:
            sys.meta_path.clear()  # no import from here on: a module would be read in the container's mounts
            run(inherited, request)
    inherited.sync.close()
    messages.close_all([*inherited.cgroup, *inherited.join.values()])
    if inherited.listener >= 0:
        os.close(inherited.listener)
    return Child(pid, pidfd, ours)


@contextlib.contextmanager
def _children_in(namespace: int | None, process: int | None) -> Iterator[None]:
    """Children are born in the pid namespace of a path or of a process, for the length of the block."""
    target = process if namespace is None else namespace
    if target is None:
        yield
        return
    own = ns.open_namespace("pid")
    try:
        try:
            ns.setns(target, ns.CLONE_NEWPID)
        except OSError as error:
            raise CommandFailed(f"unable to join namespace pid: {os.strerror(error.errno or 0).lower()}") from None
        yield
    finally:
        ns.setns(own, ns.CLONE_NEWPID)
        os.close(own)


def write_maps(pid: int, linux: dict[str, Any]) -> None:
    """uid_map and gid_map of a process in a new user namespace (user_namespaces(7))."""
    for name, key in (("uid_map", "uidMappings"), ("gid_map", "gidMappings")):
        lines = [f"{item['containerID']} {item['hostID']} {item['size']}\n" for item in linux.get(key) or ()]
        _write(f"/proc/{pid}/{name}", "".join(lines), f"the {key} of the user namespace")


def write_oom_score(pid: int, value: int | None) -> None:
    """oom_score_adj, which only the host's root may lower."""
    if value is not None:
        _write(f"/proc/{pid}/oom_score_adj", str(value), f"oom score adj {value}")


def _write(path: str, text: str, what: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise CommandFailed(f"can't set {what}: {os.strerror(error.errno or 0).lower()}") from None
