"""Making writes survive a power loss: fsync(2) of directories and syncfs(2)."""

import os
from ctypes import c_int

from wharf.kernel.libc import check, function

_syncfs = function("syncfs", c_int)


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
