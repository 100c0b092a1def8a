"""Paths that come from outside, resolved beneath a directory the kernel never leaves (openat2(2)).

Two ways of resolving, for two kinds of input:

- `open_in_root` treats `root` as `/`: symbolic links are followed, also absolute ones, and stay inside. For paths
  a person names in a container's file system.
- `open_beneath` follows no symbolic link at all. For names out of archives, where a link in the way is an attack.

Standard library only: the launcher imports this.
"""

import ctypes
import errno
import os
from collections.abc import Iterator

from wharf.kernel.libc import check, syscall

SYS_OPENAT2 = 437
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Path = str | bytes


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


OPEN_TRIES = 1000


def openat2(dir_fd: int, path: Path, flags: int, mode: int, resolve: int) -> int:
    """openat2(2); close-on-exec is always set. Raises OSError with `path`.

    A `..` fails with EAGAIN while anything anywhere is renamed or mounted, and shall be tried again.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    raw = os.fsencode(path)
    for _ in range(OPEN_TRIES):
        fd = syscall(SYS_OPENAT2, ctypes.c_int(dir_fd), ctypes.c_char_p(raw), ctypes.byref(how), _HOW_SIZE)
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
        os.sched_yield()
    return check(fd, "openat2", path)


def open_in_root(root_fd: int, path: Path, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open `path` as a process whose root is `root_fd` would; magic links (/proc/<pid>/fd/…) are refused."""
    return openat2(root_fd, path or b".", flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def open_beneath(root_fd: int, path: Path, flags: int = DIRECTORY, mode: int = 0) -> int:
    """Open relative `path` with no symbolic link followed (ELOOP) and no way above `root_fd` (EXDEV)."""
    return openat2(root_fd, path or b".", flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)


def remove(dir_fd: int, name: bytes) -> None:
    """Remove whatever `name` is in the directory `dir_fd`; a missing name is fine."""
    try:
        os.unlink(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        remove_tree(dir_fd, name)


def remove_tree(dir_fd: int, name: bytes) -> None:
    """Remove the directory `name` in `dir_fd` and all in it, however deep, with three descriptors and no recursion.

    Directories below the second level are first renamed up into the top one, so depth costs no stack. Nothing is
    followed: every step is one name in an open directory. Raises OSError for what cannot go (a mount point: EBUSY).
    """
    top = os.open(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        numbers = _unused(top)
        while names := os.listdir(top):
            for child in names:
                _remove_child(top, os.fsencode(child), numbers)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=dir_fd)


def _unused(top: int) -> Iterator[bytes]:
    taken = {os.fsencode(name) for name in os.listdir(top)}
    number = 0
    while True:
        number += 1
        name = b".trash-%d" % number
        if name not in taken:
            yield name


def _remove_child(top: int, child: bytes, numbers: Iterator[bytes]) -> None:
    try:
        os.unlink(child, dir_fd=top)
        return
    except IsADirectoryError:
        pass
    below = os.open(child, DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry in os.listdir(below):
            raw = os.fsencode(entry)
            try:
                os.unlink(raw, dir_fd=below)
            except IsADirectoryError:
                _remove_or_raise_up(below, raw, top, numbers)
    finally:
        os.close(below)
    os.rmdir(child, dir_fd=top)


def _remove_or_raise_up(below: int, name: bytes, top: int, numbers: Iterator[bytes]) -> None:
    try:
        os.rmdir(name, dir_fd=below)
    except OSError:
        os.rename(name, next(numbers), src_dir_fd=below, dst_dir_fd=top)
