"""User namespaces that no process lives in: the maps of idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP)."""

import os
from typing import NoReturn

from wharf.kernel import namespaces as ns
from wharf.kernel import process


def user_namespace(uid_map: str, gid_map: str) -> int:
    """A descriptor of a new user namespace with these maps (user_namespaces(7), one range a line).

    Only for a single-threaded process, while the host's /proc is in sight. Raises OSError, EINVAL for a bad map.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = ns.clone3(ns.CLONE_NEWUSER)
    if pid == 0:
        _wait(reader, writer)
    os.close(reader)
    try:
        # By its descriptor: `pid` is that of our own pid namespace, which /proc need not show.
        place = f"/proc/{process.pid_of(pidfd)}"
        for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
            fd = os.open(f"{place}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
        return os.open(f"{place}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writer)
        os.waitpid(pid, 0)
        os.close(pidfd)


def _wait(reader: int, writer: int) -> NoReturn:
    """Until the parent closes its end, whatever it does."""
    try:
        os.close(writer)
        os.read(reader, 1)
    finally:
        os._exit(0)
