"""The root of a container: the plan of mounts becomes mounts, inside a mount namespace of its own.

Runs in the first process, before pivot_root: sources are host paths, targets are walked inside the new root only.
"""

import contextlib
import errno
import os
import stat
from typing import Any

from wharf.kernel import mounts as mnt
from wharf.kernel.beneath import make_directory, make_file
from wharf.kernel.paths import open_in_root

_FLAGS = {
    "ro": mnt.MS_RDONLY,
    "nosuid": mnt.MS_NOSUID,
    "nodev": mnt.MS_NODEV,
    "noexec": mnt.MS_NOEXEC,
    "sync": mnt.MS_SYNCHRONOUS,
    "dirsync": mnt.MS_DIRSYNC,
    "remount": mnt.MS_REMOUNT,
    "noatime": mnt.MS_NOATIME,
    "nodiratime": mnt.MS_NODIRATIME,
    "bind": mnt.MS_BIND,
    "rbind": mnt.MS_BIND | mnt.MS_REC,
    "relatime": mnt.MS_RELATIME,
    "strictatime": mnt.MS_STRICTATIME,
    "silent": mnt.MS_SILENT,
}
_CLEAR = {
    "rw": mnt.MS_RDONLY,
    "suid": mnt.MS_NOSUID,
    "dev": mnt.MS_NODEV,
    "exec": mnt.MS_NOEXEC,
    "async": mnt.MS_SYNCHRONOUS,
    "atime": mnt.MS_NOATIME,
    "diratime": mnt.MS_NODIRATIME,
    "norelatime": mnt.MS_RELATIME,
    "nostrictatime": mnt.MS_STRICTATIME,
    "loud": mnt.MS_SILENT,
    "defaults": 0,
}
PROPAGATION = {
    "private": mnt.MS_PRIVATE,
    "rprivate": mnt.MS_PRIVATE | mnt.MS_REC,
    "slave": mnt.MS_SLAVE,
    "rslave": mnt.MS_SLAVE | mnt.MS_REC,
    "shared": mnt.MS_SHARED,
    "rshared": mnt.MS_SHARED | mnt.MS_REC,
    "unbindable": mnt.MS_UNBINDABLE,
    "runbindable": mnt.MS_UNBINDABLE | mnt.MS_REC,
}
_LOCKED = (
    (os.ST_RDONLY, mnt.MS_RDONLY),
    (os.ST_NOSUID, mnt.MS_NOSUID),
    (os.ST_NODEV, mnt.MS_NODEV),
    (os.ST_NOEXEC, mnt.MS_NOEXEC),
    (os.ST_NOATIME, mnt.MS_NOATIME),
    (os.ST_NODIRATIME, mnt.MS_NODIRATIME),
    (os.ST_RELATIME, mnt.MS_RELATIME),
)


def known_options() -> list[str]:
    """Every mount word that has a meaning of its own here, sorted."""
    return sorted({*_FLAGS, *_CLEAR, *PROPAGATION, "rro"})


class MountFailed(Exception):
    """A mount of the plan failed; the text names source and target as runc words it."""


class Options:
    """Mount words sorted out: flags, propagation, data for the file system, and whether read-only is recursive."""

    __slots__ = ("cleared", "data", "flags", "propagation", "recursive_ro", "subdir")

    def __init__(self, words: list[str]) -> None:
        self.flags = self.cleared = 0
        self.propagation: list[int] = []
        self.recursive_ro = False
        self.subdir = ""
        data: list[str] = []
        for word in words:
            if word in _FLAGS:
                self.flags |= _FLAGS[word]
                self.cleared &= ~_FLAGS[word]
            elif word in _CLEAR:
                self.flags &= ~_CLEAR[word]
                self.cleared |= _CLEAR[word]
            elif word in PROPAGATION:
                self.propagation.append(PROPAGATION[word])
            elif word == "rro":
                self.recursive_ro = True
            elif word.startswith(mnt.SUBDIR):
                self.subdir = word.removeprefix(mnt.SUBDIR)
            elif word not in ("idmap", "ridmap", "tmpcopyup", "rrw"):
                data.append(word)
        self.data = ",".join(data)


def _fd_path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def enter_private_tree(propagation: str) -> None:
    """Nothing mounted from here on reaches the host; with slave propagation host mounts still come in."""
    flags = PROPAGATION.get(propagation or "rslave", mnt.MS_SLAVE | mnt.MS_REC)
    if flags & (mnt.MS_SHARED | mnt.MS_UNBINDABLE):
        flags = mnt.MS_SLAVE | mnt.MS_REC
    mnt.mount("none", "/", None, flags)


def clone_shared(plan: list[dict[str, Any]]) -> dict[int, int]:
    """Binds that share with the host, cloned while they still do: index -> tree. For before `enter_private_tree`.

    A clone joins the peer group of its source; one of a tree that is a slave already would only receive.
    """
    trees: dict[int, int] = {}
    for index, item in enumerate(plan):
        words = item.get("options") or ()
        if "shared" in words or "rshared" in words:
            options = Options(list(words))
            if options.flags & mnt.MS_BIND:
                with contextlib.suppress(OSError):  # said by mount_all, with source and target
                    recursive = bool(options.flags & mnt.MS_REC)
                    trees[index] = mnt.clone_tree(item["source"], options.subdir, recursive)
    return trees


def mount_root(rootfs: dict[str, Any], target: str, append: bool) -> None:
    """Mount the root file system (a `wharf.spec.mount.Mount` as a dictionary) at `target`."""
    overlay = rootfs.get("overlay")
    if overlay:
        mnt.overlay(overlay["lower"], overlay["upper"], overlay["work"], target, overlay["options"], append)
    else:
        mnt.mount(rootfs["source"], target, None, mnt.MS_BIND | mnt.MS_REC)
        if "ro" in rootfs.get("options", ()):
            mnt.mount("none", target, None, mnt.MS_BIND | mnt.MS_REMOUNT | mnt.MS_RDONLY)
    # pivot_root refuses a shared parent.
    mnt.mount("none", target, None, mnt.MS_PRIVATE)


def mount_all(
    root: int,
    plan: list[dict[str, Any]],
    cgroup_points: dict[str, str],
    own_cgroupns: bool,
    trees: dict[int, int] | None = None,
) -> None:
    """Carry out `spec.mounts` in order below the directory `root`; `trees`: index -> bind that is cloned already."""
    for index, item in enumerate(plan):
        kind, target = item.get("type") or "bind", item["destination"]
        options = Options(list(item.get("options") or ()))
        if options.flags & mnt.MS_BIND:
            kind = "bind"
        try:
            if kind == "bind":
                _bind(root, item["source"], target, options, (trees or {}).get(index, -1))
            elif kind == "cgroup":
                _cgroup(root, target, options, cgroup_points, own_cgroupns)
            else:
                _file_system(root, kind, item.get("source") or kind, target, options)
        except OSError as error:
            if kind == "bind" and error.errno == errno.ENOTDIR:
                raise MountFailed(_wrong_kind(item["source"], target)) from None
            what = f'error mounting "{item.get("source") or kind}" to rootfs at "{target}": '
            raise MountFailed(what + f"{_step(error)}: {os.strerror(error.errno or 0).lower()}") from None


def _wrong_kind(source: str, target: str) -> str:
    return (
        f'error mounting "{source}" to rootfs at "{target}": mount src={source}, dst={target}, '
        "flags=MS_BIND|MS_REC: not a directory: Are you trying to mount a directory onto a file (or vice-versa)? "
        "Check if the specified host path exists and is the expected type"
    )


def _step(error: OSError) -> str:
    return str(error.strerror or "").rsplit(": ", 1)[0] or "mount"


def _file_system(root: int, kind: str, source: str, target: str, options: Options) -> None:
    directory = make_directory(root, target)
    try:
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        data = options.data
        if kind == "tmpfs" and "mode=" not in data:
            # A tmpfs over an existing directory keeps its mode, as runc does it.
            data = f"{data},mode={mode:o}".lstrip(",")
        flags = options.flags & ~mnt.MS_RDONLY if kind == "tmpfs" else options.flags
        mnt.mount(source, _fd_path(directory), kind, flags, data)
    finally:
        os.close(directory)
    mounted = open_in_root(root, target)
    try:
        if flags != options.flags:
            mnt.mount("none", _fd_path(mounted), None, mnt.MS_REMOUNT | mnt.MS_BIND | options.flags)
        for flag in options.propagation:
            mnt.mount("none", _fd_path(mounted), None, flag)
    finally:
        os.close(mounted)


def _bind(root: int, source: str, target: str, options: Options, tree: int = -1) -> None:
    if tree < 0:
        tree = mnt.clone_tree(source, options.subdir, bool(options.flags & mnt.MS_REC))
    try:
        is_directory = stat.S_ISDIR(os.stat(tree).st_mode)
        place = make_directory(root, target) if is_directory else make_file(root, target)
        try:
            if stat.S_ISDIR(os.stat(place).st_mode) != is_directory:
                raise NotADirectoryError(errno.ENOTDIR, "move_mount")
            mnt.move_mount_to(tree, place)
        finally:
            os.close(place)
        path = _fd_path(tree)
        keep = options.flags & ~(mnt.MS_BIND | mnt.MS_REC)
        if keep or options.cleared:
            _remount_bind(path, keep, options.cleared)
        if options.recursive_ro:
            mnt.set_read_only(path, True)
        for flag in options.propagation or [mnt.MS_PRIVATE | mnt.MS_REC]:
            mnt.mount("none", path, None, flag)
    finally:
        os.close(tree)


def _remount_bind(path: str, keep: int, cleared: int) -> None:
    """A bind remount replaces all flags: carry over those the mount has, which may also be locked."""
    present = os.statvfs(path).f_flag
    flags = keep
    for have, flag in _LOCKED:
        if present & have and not cleared & flag:
            flags |= flag
    mnt.mount("none", path, None, mnt.MS_REMOUNT | mnt.MS_BIND | flags)


def _cgroup(root: int, target: str, options: Options, points: dict[str, str], own_namespace: bool) -> None:
    """The container's view of its cgroup: v2 mounts it; v1 binds one directory for each controller into a tmpfs."""
    if set(points) == {""}:
        if own_namespace:
            _file_system(root, "cgroup2", "cgroup", target, options)
        else:
            options.flags |= mnt.MS_BIND
            _bind(root, points[""], target, options)
        return
    tmpfs = Options(["nosuid", "noexec", "nodev", "mode=755"])
    _file_system(root, "tmpfs", "tmpfs", target, tmpfs)
    read_only = options.flags & mnt.MS_RDONLY
    for name, directory in points.items():
        folder = name.removeprefix("name=")
        inner = f"{target}/{folder}"
        if own_namespace:
            data = name if name.startswith("name=") else folder
            _file_system(root, "cgroup", "cgroup", inner, Options([*_words(options), data]))
        else:
            bind = Options(_words(options))
            bind.flags |= mnt.MS_BIND
            _bind(root, directory, inner, bind)
    if read_only:
        here = open_in_root(root, target)
        try:
            _remount_bind(_fd_path(here), tmpfs.flags | mnt.MS_RDONLY, 0)
        finally:
            os.close(here)


def _words(options: Options) -> list[str]:
    return [word for word, flag in _FLAGS.items() if flag & options.flags == flag and word not in ("bind", "rbind")]


def bind_console(root: int, slave: int) -> None:
    """Lay the terminal over /dev/console."""
    place = make_file(root, "/dev/console")
    try:
        mnt.mount(_fd_path(slave), _fd_path(place), None, mnt.MS_BIND)
    finally:
        os.close(place)


def pivot(root: int) -> None:
    """Make `root` the root of this mount namespace and drop the old one (pivot_root(2), the "." trick)."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.fchdir(root)
    mnt.pivot_root(".", ".")
    # The old root now lies over the new one: keep its unmount from reaching the host, then let go of it.
    # "." must be the old root here: from the new one it would make slaves of the container's shared mounts.
    os.fchdir(old)
    mnt.mount("", ".", None, mnt.MS_SLAVE | mnt.MS_REC)
    mnt.umount(".", mnt.MNT_DETACH)
    os.close(old)
    os.chdir("/")


def set_root_read_only() -> None:
    """Remount "/" read-only, keeping its other flags."""
    _remount_bind("/", mnt.MS_RDONLY, 0)


def mask(root: int, paths: list[str]) -> None:
    """Hide files behind the null device and directories behind an empty read-only tmpfs; missing ones are fine."""
    if not paths:
        return
    null = open_in_root(root, "/dev/null")
    try:
        if os.fstat(null).st_rdev != os.makedev(1, 3):
            raise MountFailed("/dev/null of the container is not the null device, so nothing can be masked with it")
        for path in paths:
            target = _open_existing(root, path)
            if target is None:
                continue
            try:
                if stat.S_ISDIR(os.fstat(target).st_mode):
                    mnt.mount("tmpfs", _fd_path(target), "tmpfs", mnt.MS_RDONLY, "")
                else:
                    mnt.mount(_fd_path(null), _fd_path(target), None, mnt.MS_BIND)
            finally:
                os.close(target)
    finally:
        os.close(null)


def make_read_only(root: int, paths: list[str]) -> None:
    """Bind paths onto themselves read-only; missing ones are fine."""
    for path in paths:
        target = _open_existing(root, path)
        if target is None:
            continue
        try:
            mnt.mount(_fd_path(target), _fd_path(target), None, mnt.MS_BIND | mnt.MS_REC)
        finally:
            os.close(target)
        bound = open_in_root(root, path)
        try:
            _remount_bind(_fd_path(bound), mnt.MS_RDONLY, 0)
        finally:
            os.close(bound)


def _open_existing(root: int, path: str) -> int | None:
    try:
        return open_in_root(root, path)
    except (FileNotFoundError, NotADirectoryError):
        return None
