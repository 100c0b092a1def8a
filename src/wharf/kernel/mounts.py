"""Mounts: mount(2), umount2(2), pivot_root(2) and the descriptor-based mount calls (fsopen(2), mount_setattr(2))."""

import ctypes
import os
from collections.abc import Iterable

from wharf.kernel.libc import (
    SYS_FSCONFIG,
    SYS_FSMOUNT,
    SYS_FSOPEN,
    SYS_MOUNT_SETATTR,
    SYS_MOVE_MOUNT,
    SYS_OPEN_TREE,
    SYS_PIVOT_ROOT,
    check,
    function,
    syscall,
)
from wharf.kernel.paths import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2

SUBDIR = "X-mount.subdir="
"""mount(8)'s word for a bind of what is below the source; see `clone_tree`."""

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_RELATIME = 0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_ATIME = 0x70
"""Not a flag: the field of the three before it."""
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000
MOUNT_ATTR_IDMAP = 0x100000
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

_mount = function("mount", *[ctypes.c_char_p] * 3, ctypes.c_ulong, ctypes.c_char_p)
_umount2 = function("umount2", ctypes.c_char_p, ctypes.c_int)

Path = str | bytes


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount(source: Path, target: Path, kind: str | None = None, flags: int = 0, data: str = "") -> None:
    """mount(2); `kind` None for binds, remounts and propagation."""
    raw = os.fsencode(data) if data else None
    result = _mount(os.fsencode(source), os.fsencode(target), kind.encode() if kind else None, flags, raw)
    check(result, f"mount {kind or ''} {os.fsdecode(source)}".replace("  ", " "), target)


def umount(target: Path, flags: int = 0) -> None:
    """umount2(2)."""
    check(_umount2(os.fsencode(target), flags), "umount", target)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """pivot_root(2)."""
    new, old = ctypes.c_char_p(os.fsencode(new_root)), ctypes.c_char_p(os.fsencode(put_old))
    check(syscall(SYS_PIVOT_ROOT, new, old), "pivot_root", new_root)


def open_tree(path: Path, flags: int = OPEN_TREE_CLOEXEC, dir_fd: int = AT_FDCWD) -> int:
    """open_tree(2); with OPEN_TREE_CLONE a detached copy of the mount."""
    fd = syscall(SYS_OPEN_TREE, ctypes.c_int(dir_fd), ctypes.c_char_p(os.fsencode(path)), ctypes.c_uint(flags))
    return check(fd, "open_tree", path)


def clone_tree(source: Path, subdir: str = "", recursive: bool = False) -> int:
    """A detached copy of what is mounted at `source`, or of `subdir` in it: a symbolic link in a subdir may not lead
    out (EXDEV), also when somebody exchanges it at this moment."""
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    if not subdir:
        return open_tree(source, flags)
    base = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        place = openat2(base, subdir, os.O_PATH, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    finally:
        os.close(base)
    try:
        return open_tree(b"", flags | AT_EMPTY_PATH, place)
    finally:
        os.close(place)


def move_mount(mount_fd: int, target: Path) -> None:
    """Attach a detached mount at `target` (move_mount(2))."""
    result = syscall(
        SYS_MOVE_MOUNT,
        ctypes.c_int(mount_fd),
        ctypes.c_char_p(b""),
        ctypes.c_int(AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH),
    )
    check(result, "move_mount", target)


def move_mount_to(mount_fd: int, target_fd: int) -> None:
    """Attach a detached mount upon the open file or directory `target_fd`: no path is walked again."""
    result = syscall(
        SYS_MOVE_MOUNT,
        ctypes.c_int(mount_fd),
        ctypes.c_char_p(b""),
        ctypes.c_int(target_fd),
        ctypes.c_char_p(b""),
        ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
    )
    check(result, "move_mount")


def set_read_only(path: Path, recursive: bool) -> None:
    """Make a mount, or with `recursive` every mount below it too, read-only (mount_setattr(2))."""
    set_attributes(path, MOUNT_ATTR_RDONLY, 0, recursive)


def set_attributes(path: Path, wanted: int, cleared: int, recursive: bool) -> None:
    """Set and clear MOUNT_ATTR_ flags of a mount, with `recursive` of all below it too (mount_setattr(2))."""
    attr = _MountAttr(attr_set=wanted, attr_clr=cleared)
    result = syscall(
        SYS_MOUNT_SETATTR,
        ctypes.c_int(AT_FDCWD),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    check(result, "mount_setattr", path)


def set_id_map(tree: int, userns: int, recursive: bool = True) -> None:
    """Show the files of a detached mount by the map of a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP)."""
    attr = _MountAttr(attr_set=MOUNT_ATTR_IDMAP, userns_fd=userns)
    result = syscall(
        SYS_MOUNT_SETATTR,
        ctypes.c_int(tree),
        ctypes.c_char_p(b""),
        ctypes.c_uint(AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)),
        ctypes.byref(attr),
        ctypes.c_size_t(ctypes.sizeof(attr)),
    )
    check(result, "mount_setattr idmap")


def fsopen(kind: str) -> int:
    """fsopen(2): a new file system context."""
    return check(syscall(SYS_FSOPEN, ctypes.c_char_p(kind.encode()), ctypes.c_uint(1)), f"fsopen {kind}")


def _fsconfig(fd: int, command: int, key: bytes | None, value: bytes | None) -> None:
    result = syscall(
        SYS_FSCONFIG,
        ctypes.c_int(fd),
        ctypes.c_uint(command),
        ctypes.c_char_p(key),
        ctypes.c_char_p(value),
        ctypes.c_int(0),
    )
    if result < 0:
        check(result, f"fsconfig {(key or b'create').decode()}", value)


def fsmount(fd: int, attributes: int = 0) -> int:
    """Create the file system of a context and give it as a detached mount."""
    _fsconfig(fd, FSCONFIG_CMD_CREATE, None, None)
    return check(syscall(SYS_FSMOUNT, ctypes.c_int(fd), ctypes.c_uint(1), ctypes.c_uint(attributes)), "fsmount")


def fs_set(fd: int, options: Iterable[tuple[str, str | None]]) -> None:
    """Set options of a context in order; a value of None is a flag."""
    for key, value in options:
        if value is None:
            _fsconfig(fd, FSCONFIG_SET_FLAG, key.encode(), None)
        else:
            _fsconfig(fd, FSCONFIG_SET_STRING, key.encode(), os.fsencode(value))


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def overlay(
    lower: Iterable[str], upper: str, work: str, target: str, options: Iterable[str] = (), append: bool = True
) -> None:
    """Mount an overlay at `target`; `lower` top first; without `upper` it is read-only.

    `append`: the kernel (6.8) takes one `lowerdir+` per layer: no limit of a page and no escaping. Otherwise the
    names go into one mount(2) string, which must stay below a page.
    """
    layers = list(lower)
    if not upper and len(layers) == 1:
        mount(layers[0], target, None, MS_BIND)
        mount("none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        return
    if append:
        fd = fsopen("overlay")
        try:
            fs_set(fd, [("source", "overlay"), *(("lowerdir+", layer) for layer in layers)])
            if upper:
                fs_set(fd, [("upperdir", upper), ("workdir", work)])
            fs_set(fd, [_key_value(option) for option in options])
            mounted = fsmount(fd)
        finally:
            os.close(fd)
        try:
            move_mount(mounted, target)
        finally:
            os.close(mounted)
        return
    words = ["lowerdir=" + ":".join(_escape(layer) for layer in layers)]
    if upper:
        words += [f"upperdir={_escape(upper)}", f"workdir={_escape(work)}"]
    mount("overlay", target, "overlay", 0, ",".join([*words, *options]))


def _key_value(option: str) -> tuple[str, str | None]:
    key, equals, value = option.partition("=")
    return key, value.strip('"') if equals else None  # quotes are for mount(2), where a comma ends an option
