"""The files of a monitor beneath the exec root: its socket, its records. Nothing is left when it ends."""

import _socket
import errno
import json
import os
from typing import Any

_QUEUE = 64
"""Connections that wait: each start of wharfd makes one, also while the monitor is busy with a slow disk."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def listen(directory: str, name: str) -> _socket.socket:
    """A listening socket; the long path goes through a directory descriptor (108 bytes is all)."""
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        path = f"/proc/self/fd/{fd}/{name}"
        try:
            sock.bind(path)
        except OSError:
            os.unlink(path)
            sock.bind(path)
    finally:
        os.close(fd)
    sock.listen(_QUEUE)
    return sock


def remove(directory: str, name: str, others: bool) -> None:
    """Remove what the monitor `name` had, with `others` also what execs wrote while no wharfd was there to hear it."""
    paths = [f"{directory}/{name}", f"{directory}/{name}.json"]
    try:
        entries = os.listdir(directory) if others else []
    except FileNotFoundError:  # wharfd has forgotten the container already
        entries = []
    paths += [f"{directory}/{entry}" for entry in entries if entry.endswith(".exit")]
    for path in paths:
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
    try:
        os.rmdir(directory)
    except OSError:
        return


def write_atomically(path: str, value: dict[str, Any]) -> None:
    """The visible name is the last write; a reader sees the old file, the new one, or none."""
    try:
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:  # the container was removed by force meanwhile
        return
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return
    try:
        os.write(fd, json.dumps(value).encode())
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return  # a container has filled the disk: its end is told all the same, to whoever listens
    finally:
        os.close(fd)
    os.rename(path + ".new", path)
