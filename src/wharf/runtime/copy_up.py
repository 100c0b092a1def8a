"""`tmpcopyup`: a tmpfs begins with what it lies over.

By descriptors, and no symbolic link is followed: what is copied is the image's.
"""

import os
import stat

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SOURCE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_CHUNK = 1 << 20


def copy_up(source: int, target: int) -> None:
    """Copy what is in the directory `source` into the empty directory `target`, with owners, modes and times.

    Raises OSError, also where the tree is deeper than this process may have files open.
    """
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        _copy(source, target, name, found)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=target)
        os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def _copy(source: int, target: int, name: str, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        os.mkdir(name, 0o700, dir_fd=target)
        _with_both(source, target, name, _DIRECTORY, _DIRECTORY)
    elif stat.S_ISREG(found.st_mode):
        _with_both(source, target, name, _SOURCE, _NEW)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)


def _with_both(source: int, target: int, name: str, how_from: int, how_to: int) -> None:
    origin = os.open(name, how_from, dir_fd=source)
    try:
        copy = os.open(name, how_to, 0o600, dir_fd=target)
        try:
            if how_to == _DIRECTORY:
                copy_up(origin, copy)
            else:
                while os.sendfile(copy, origin, None, _CHUNK):
                    continue
        finally:
            os.close(copy)
    finally:
        os.close(origin)
