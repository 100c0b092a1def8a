"""`--chown` of a build: names by the files of the tree that is written to. Standard library only: workers use it."""

import os
import stat

from wharf.errors import Invalid
from wharf.kernel import paths

_MAX_FILE = 4 << 20
MAX_ID = (1 << 32) - 2
_UNKNOWN = "unable to convert uid/gid chown string to host mapping"


def find_owner(root: int, text: str) -> tuple[int, int]:
    """(uid, gid) of `user[:group]`, names or numbers; without a group a number's own, a name's from passwd.

    Raises Invalid for a name that is not there.
    """
    user, colon, group = text.partition(":")
    uid, gid = _user(root, user) if user else (0, 0)
    return uid, _group(root, group) if colon and group else gid


def _user(root: int, name: str) -> tuple[int, int]:
    if _is_number(name):
        return int(name), int(name)
    for line in _lines(root, b"/etc/passwd"):
        if len(line) > 3 and line[0] == name and _is_number(line[2]) and _is_number(line[3]):
            return int(line[2]), int(line[3])
    shown = name[:100]
    raise Invalid(f"{_UNKNOWN}: can't find uid for user {shown}: no such user: {shown}")


def _group(root: int, name: str) -> int:
    if _is_number(name):
        return int(name)
    for line in _lines(root, b"/etc/group"):
        if len(line) > 2 and line[0] == name and _is_number(line[2]):
            return int(line[2])
    shown = name[:100]
    raise Invalid(f"{_UNKNOWN}: can't find gid for group {shown}: no such group: {shown}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= MAX_ID


def _lines(root: int, path: bytes) -> list[list[str]]:
    """A file that is missing, no plain file, or absurdly large counts as empty."""
    try:
        fd = paths.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_FILE:
            return []
        return [line.split(":") for line in file.read(_MAX_FILE).decode("utf-8", "replace").split("\n")]
