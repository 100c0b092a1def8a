"""Device nodes, the usual links of /dev, and sysctls of a container that is being made."""

import errno
import os
import stat
from collections.abc import Iterable
from typing import Any

from wharf.kernel import mounts as mnt
from wharf.kernel.beneath import make_directory, make_file
from wharf.kernel.paths import open_in_root

_BITS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
DEFAULT_DEVICES: tuple[tuple[str, int, int], ...] = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("/proc/kcore", "/dev/core"),
    ("pts/ptmx", "/dev/ptmx"),
)
_IPC_SYSCTLS = frozenset(
    f"kernel/{name}" for name in ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"]
)


class SysctlRefused(Exception):
    """A sysctl that would be set for the host."""


def make_devices(root: int, wanted: list[dict[str, Any]], sources: Iterable[str], mknod: bool) -> None:
    """Make the default nodes and `linux.devices`; without `mknod` the host's nodes are bound instead.

    Raises OSError (EEXIST) where another file is in the way of one.

    Where /dev is one of the directories bound from the host (`sources`) nothing is made: it would be made there.
    """
    given = {item["path"]: item for item in wanted}  # of two with one path the last counts
    dev = make_directory(root, "/dev")
    previous = os.umask(0)
    try:
        if _is_one_of(dev, sources):
            return
        for path, major, minor in DEFAULT_DEVICES:
            if path not in given:
                _node(dev, path[5:], stat.S_IFCHR | 0o666, os.makedev(major, minor), mknod)
        for item in given.values():
            _wanted(root, item, mknod)
        for target, link in _LINKS:
            if target == "/proc/kcore" and not os.path.exists(target):
                continue
            _link(dev, target, link[5:])
    finally:
        os.umask(previous)
        os.close(dev)


def _is_one_of(directory: int, paths: Iterable[str]) -> bool:
    found = os.fstat(directory)
    for path in paths:
        try:
            if os.path.samestat(os.stat(path), found):
                return True
        except OSError:
            continue
    return False


def _wanted(root: int, item: dict[str, Any], mknod: bool) -> None:
    parent, name = os.path.split(item["path"])
    mode = _BITS.get(item.get("type", "c"), stat.S_IFCHR) | (item.get("fileMode", 0o666) & 0o7777)
    number = 0 if stat.S_ISFIFO(mode) else os.makedev(item.get("major", 0), item.get("minor", 0))
    directory = make_directory(root, parent)
    try:
        _node(directory, name, mode, number, mknod, item["path"])
        if mknod and (item.get("uid") or item.get("gid")):
            os.chown(name, item.get("uid") or 0, item.get("gid") or 0, dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(directory)


def _node(directory: int, name: str, mode: int, device: int, mknod: bool, source: str | None = None) -> None:
    if mknod:
        try:
            os.mknod(name, mode, device, dir_fd=directory)
        except FileExistsError:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode) or found.st_rdev != device:
                # config-linux.md#devices: an error; the file is somebody's.
                what = f"mknod {source or '/dev/' + name}: another file is there"
                raise OSError(errno.EEXIST, what) from None
        return
    place = make_file(directory, name)
    try:
        mnt.mount(source or f"/dev/{name}", f"/proc/self/fd/{place}", None, mnt.MS_BIND)
    finally:
        os.close(place)


def _link(dev: int, target: str, name: str) -> None:
    try:
        os.symlink(target, name, dir_fd=dev)
    except FileExistsError:
        if name == "ptmx":
            # An image's own /dev/ptmx would be the host's terminals.
            os.unlink(name, dir_fd=dev)
            os.symlink(target, name, dir_fd=dev)


def write_sysctls(root: int, values: dict[str, str], own: Iterable[str]) -> None:
    """Write `linux.sysctl` through the container's /proc; OSError names the key.

    Only what belongs to a namespace of the container's (`own`: OCI types) may be written, by runc's rules: anything
    else under /proc/sys is the host's. Raises SysctlRefused.
    """
    for key, value in values.items():
        path = "/proc/sys/" + sysctl_path(key, own)
        fd = open_in_root(root, path, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        except OSError as error:
            raise OSError(error.errno, f"write sysctl key {key}: {error.strerror}", path) from None
        finally:
            os.close(fd)


def sysctl_path(key: str, own: Iterable[str]) -> str:
    """The path below /proc/sys of a sysctl, dotted or with slashes; raises SysctlRefused for one of the host."""
    first = next((char for char in key if char in "./"), "")
    # `net.ipv4.conf.eth0/100.x` means the interface eth0.100 (sysctl(8)).
    path = key.translate(str.maketrans("./", "/.")) if first == "." else key
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise SysctlRefused(f'invalid sysctl "{key[:200]}"')
    if path in _IPC_SYSCTLS or parts[:2] == ["fs", "mqueue"]:
        if "ipc" not in own:
            raise SysctlRefused(f'sysctl "{key}" is not allowed in the hosts ipc namespace')
    elif parts[0] == "net":
        if "network" not in own:
            raise SysctlRefused(f'sysctl "{key}" not allowed in host network namespace')
    elif "uts" in own and path == "kernel/hostname":
        raise SysctlRefused(f'sysctl "{key}" is conflicting with the hostname of the container')
    elif not ("uts" in own and path == "kernel/domainname"):
        raise SysctlRefused(f'sysctl "{key[:200]}" is not in a separate kernel namespace')
    return path
