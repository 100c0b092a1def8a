"""Pseudo-terminals of a container: taken from its own devpts, never from the host's (pts(4), ioctl_tty(2))."""

import fcntl
import os
import stat
import struct
from typing import Any

_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_pair(master: int) -> int:
    """Unlock an opened ptmx of the container and open its slave, without walking a path of the container."""
    status = os.fstat(master)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != os.makedev(5, 2):
        raise OSError(1, "/dev/pts/ptmx of the container is not a terminal multiplexer")
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    return fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)


def become_controlling(slave: int) -> None:
    """Make it the controlling terminal of the calling session leader and its standard streams."""
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)


def resize(fd: int, height: int, width: int) -> None:
    """Set rows and columns; the foreground process group gets SIGWINCH."""
    fcntl.ioctl(fd, _TIOCSWINSZ, struct.pack("HHHH", height & 0xFFFF, width & 0xFFFF, 0, 0))


def initial_size(fd: int, size: dict[str, Any] | None) -> None:
    """`process.consoleSize`, when it is given and not 0."""
    if size and (size.get("height") or size.get("width")):
        resize(fd, size.get("height") or 0, size.get("width") or 0)
