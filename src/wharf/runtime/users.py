"""Users and groups as the image knows them: /etc/passwd and /etc/group read inside the new root.

Docker's words for what is not found come from moby/sys/user (GetExecUser, GetAdditionalGroups).
"""

import os
import stat

MAX_FILE = 4 << 20
MAX_DIGITS = 19
MAX_ID = (1 << 31) - 1


class UnknownUser(Exception):
    """The wanted user or group is not in the image; the text is Docker's."""


def read_table(path: str) -> list[list[str]]:
    """Colon-separated lines; what is missing, too large or no regular file (an image may put a pipe there, on which a
    reader would wait for ever) counts as empty."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE:
            return []
        data = os.read(fd, MAX_FILE)
    except OSError:
        return []
    finally:
        os.close(fd)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [line.strip().split(":") for line in lines if line.strip() and not line.startswith("#")]


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


def _id(fields: list[str], index: int) -> int:
    return (_number(fields[index]) or 0) if len(fields) > index else 0


class Identity:
    """The credentials of a process: uid, gid, additional groups, home and name."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid, self.gid, self.groups, self.home = uid, gid, groups, home


def resolve(wanted: str, extra_groups: list[str], passwd: str = "/etc/passwd", group: str = "/etc/group") -> Identity:
    """`user[:group]` by name or number; raises UnknownUser."""
    users, groups = read_table(passwd), read_table(group)
    user_part, colon, group_part = wanted.partition(":")
    uid, gid, home, name = _find_user(users, user_part)
    more: list[int] = []
    if colon and group_part:
        gid = _find_group(groups, group_part, f"unable to find group {group_part}: no matching entries in group file")
    elif name:
        more = [_id(fields, 2) for fields in groups if len(fields) > 3 and name in fields[3].split(",")]
    for item in extra_groups:
        more.append(_find_group(groups, item, f"unable to find group {item}: no matching entries in group file"))
    # The kernel's list of groups holds the primary one too, as runc sets it.
    return Identity(uid, gid, sorted({gid, *more}), home or "/")


def _find_user(users: list[list[str]], wanted: str) -> tuple[int, int, str, str]:
    if wanted == "":
        wanted = "0"
    number = _number(wanted)
    if wanted.startswith("-") and _number(wanted[1:]) is not None:
        raise UnknownUser("uids and gids must be in range 0-2147483647")
    for fields in users:
        if fields[0] == wanted or (number is not None and len(fields) > 2 and _number(fields[2]) == number):
            return _id(fields, 2), _id(fields, 3), fields[5] if len(fields) > 5 else "", fields[0]
    if number is None:
        raise UnknownUser(f"unable to find user {wanted}: no matching entries in passwd file")
    if number > MAX_ID:
        raise UnknownUser("uids and gids must be in range 0-2147483647")
    return number, 0, "", ""


def _find_group(groups: list[list[str]], wanted: str, missing: str) -> int:
    number = _number(wanted)
    for fields in groups:
        if fields[0] == wanted or (number is not None and len(fields) > 2 and _number(fields[2]) == number):
            return _id(fields, 2)
    if number is None:
        raise UnknownUser(missing)
    if number > MAX_ID:
        raise UnknownUser("uids and gids must be in range 0-2147483647")
    return number
