"""The layer between an image and a container's own: the places that Docker mounts over.

They exist before the container starts, so the runtime makes nothing in the container's own layer, and a diff of it
shows what the container did. What the image has already stays as it is.
"""

import os
import stat

from wharf.kernel import paths
from wharf.storage.layers.lookup import Stack

_DIRECTORIES = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES = (".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf")
_LINKS = (("etc/mtab", "/proc/mounts"),)


def fill(upper: str, lowers: tuple[str, ...], xattr_prefix: str) -> None:
    """Put into the empty directory `upper` what the stack `lowers` (top first) does not have."""
    root = os.open(upper, paths.DIRECTORY)
    try:
        with Stack(lowers, xattr_prefix) as below:
            _fill(root, below)
    finally:
        os.close(root)


def _fill(root: int, below: Stack) -> None:
    for path in _DIRECTORIES:
        if below.get(path.encode()) is None:
            _directory(root, below, path)
    for path in _FILES:
        if below.get(path.encode()) is None and _directory(root, below, os.path.dirname(path)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(path, flags, 0o755, dir_fd=root)
            os.fchmod(fd, 0o755)
            os.close(fd)
    for path, target in _LINKS:
        if below.get(path.encode()) is None and _directory(root, below, os.path.dirname(path)):
            os.symlink(target, path, dir_fd=root)


def _directory(root: int, below: Stack, path: str) -> bool:
    """Make `path` and its parents, each like the one below; False when something else is in the way there."""
    walked = ""
    for part in [part for part in path.split("/") if part]:
        walked = f"{walked}/{part}" if walked else part
        found = below.get(walked.encode())
        if found is not None and not stat.S_ISDIR(found.st_mode):
            return False
        try:
            os.mkdir(walked, 0o755, dir_fd=root)
        except FileExistsError:
            continue
        fd = os.open(walked, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
        if found is not None:
            os.fchown(fd, found.st_uid, found.st_gid)
        os.fchmod(fd, stat.S_IMODE(found.st_mode) if found is not None else 0o755)
        if found is not None:
            os.utime(fd, ns=(found.st_atime_ns, found.st_mtime_ns))
        os.close(fd)
    return True
