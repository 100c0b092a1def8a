"""Extended attributes of a name in an open directory (xattr(7)), links, devices and sockets included.

The kernel has no xattr call that takes a directory descriptor before 6.13, and a link or device cannot be opened;
`/proc/self/fd` is not to be trusted inside a container's mounts. So these change the working directory for the time
of the call: use them only in a process of one's own (a worker), never in a daemon with threads.
"""

import contextlib
import errno
import os
from collections.abc import Iterator

_ABSENT = (errno.ENODATA, errno.EOPNOTSUPP)


@contextlib.contextmanager
def _inside(dir_fd: int) -> Iterator[None]:
    back = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fchdir(dir_fd)
        yield
    finally:
        os.fchdir(back)
        os.close(back)


def get(dir_fd: int, name: bytes, attribute: str) -> bytes | None:
    """The value, or None when the attribute (or the file system's support) is absent; links are not followed."""
    with _inside(dir_fd):
        try:
            return os.getxattr(name, attribute, follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise


def names(dir_fd: int, name: bytes) -> list[str]:
    """All attribute names; empty where the file system has none."""
    with _inside(dir_fd):
        try:
            return os.listxattr(name, follow_symlinks=False)
        except OSError as error:
            if error.errno in _ABSENT:
                return []
            raise


def put(dir_fd: int, name: bytes, attribute: str, value: bytes) -> None:
    """lsetxattr(2); raises OSError."""
    with _inside(dir_fd):
        os.setxattr(name, attribute, value, follow_symlinks=False)


def get_fd(fd: int, attribute: str) -> bytes | None:
    """fgetxattr(2); None when absent."""
    try:
        return os.getxattr(fd, attribute)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
