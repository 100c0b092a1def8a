"""Pseudo-terminals of a container: taken from its own devpts, never from the host's (pts(4), ioctl_tty(2))."""

import _socket
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from typing import Any

from wharf.runtime import messages

_TIOCSCTTY = 0x540E
_TIOCSWINSZ = 0x5414
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def open_own(size: dict[str, Any] | None, sync: _socket.socket) -> None:
    """Inside the container's mounts: a new terminal for the calling process, its master sent over `sync`."""
    take(os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC), size, sync)


def take(
    master: int, size: dict[str, Any] | None, sync: _socket.socket, place: Callable[[int], None] | None = None
) -> None:
    """Give the calling process the slave of an opened ptmx, after `place` had it; the master goes out over `sync`."""
    slave = open_pair(master)
    initial_size(master, size)
    if place is not None:
        place(slave)
    messages.send(sync, {"op": "terminal"}, [master])
    os.close(master)
    become_controlling(slave)
    os.close(slave)


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
