"""Files without a name until they are whole: open(2) O_TMPFILE, then linkat(2). Standard library only."""

import errno
import os

_NOT_HERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL)
"""What file systems and kernels without O_TMPFILE answer (overlayfs has it since Linux 6.1)."""


def open_unnamed(directory: int, mode: int) -> int:
    """A new file in a directory, for writing, with no name yet; -1 where the file system cannot."""
    try:
        return os.open(b".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, mode, dir_fd=directory)
    except OSError as error:
        if error.errno in _NOT_HERE:
            return -1
        raise


def give_name(file: int, directory: int, name: bytes) -> bool:
    """Let it appear in the directory it was made in; False when there is something of that name."""
    try:
        os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=directory, follow_symlinks=True)
    except FileExistsError:
        return False
    return True
