"""Who files belong to that are copied with `docker cp -a`: the container's configured user, as its image knows it."""

import os
import stat

from wharf.errors import Invalid
from wharf.kernel import paths

_MAX_FILE = 4 << 20


def container_owner(root: int, user: str) -> tuple[int, int]:
    """(uid, gid) of `name`, `uid`, `name:group` … by the files in the container. Raises Invalid with Docker's words."""
    name, _, group = user.partition(":")
    number = int(name) if name.isascii() and name.isdigit() else None
    uid, gid = number, 0
    for line in _lines(root, b"/etc/passwd"):
        if len(line) > 3 and (line[0] == name or (number is not None and line[2] == str(number))):
            uid, gid = _id(line[2]), _id(line[3])
            break
    if uid is None:
        raise Invalid(f"unable to find user {name}: no matching entries in passwd file")
    if not group:
        return uid, gid
    for line in _lines(root, b"/etc/group"):
        if len(line) > 2 and group in (line[0], line[2]):
            return uid, _id(line[2])
    if group.isascii() and group.isdigit():
        return uid, int(group)
    raise Invalid(f"unable to find group {group}: no matching entries in group file")


def _id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def _lines(root: int, path: bytes) -> list[list[str]]:
    """A file that is missing, no plain file, or absurdly large counts as empty."""
    try:
        fd = paths.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return []
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        return []
    return [line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines()]
