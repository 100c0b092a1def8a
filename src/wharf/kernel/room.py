"""Blocks of a file before they are needed: fallocate(2)."""

from ctypes import c_int, c_int64

from wharf.kernel.libc import check, function

_fallocate = function("fallocate", c_int, c_int, c_int64, c_int64)
_FALLOC_FL_KEEP_SIZE = 1


def take_room(fd: int, offset: int, length: int) -> None:
    """Give the file blocks for these bytes, where it has none yet; its size and its content stay as they are.

    Raises OSError: ENOSPC or EDQUOT on a full disk, EOPNOTSUPP where the file system cannot do that.
    """
    check(_fallocate(fd, _FALLOC_FL_KEEP_SIZE, offset, length), "fallocate")
