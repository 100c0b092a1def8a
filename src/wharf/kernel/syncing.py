"""Making writes survive a power loss: fsync(2), syncfs(2), sync_file_range(2)."""

import os
from ctypes import c_int, c_int64, c_uint

from wharf.kernel.libc import check, function

_syncfs = function("syncfs", c_int)
_sync_file_range = function("sync_file_range", c_int, c_int64, c_int64, c_uint)
_SYNC_FILE_RANGE_WRITE = 2


def start_writeback(fd: int) -> None:
    """Have the kernel begin to write the file's pages, without waiting; a hint, so errors mean nothing."""
    _sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


def sync_file(path: str) -> None:
    """Make the file's content durable; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file_system(path: str) -> None:
    """Make everything on the file system that holds `path` durable; blocks as long as the disk needs."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        check(_syncfs(fd), "syncfs", path)
    finally:
        os.close(fd)
