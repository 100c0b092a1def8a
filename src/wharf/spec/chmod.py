"""`--chmod`: octal, or symbolic as chmod(1) has it. Pure, and standard library only: workers apply it."""

import re

from wharf.errors import Invalid

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)\Z")
_PART = re.compile(r"([-+=])([rwxXstugo]*)")
_WHO = {"u": 0o700, "g": 0o070, "o": 0o007}
_SHIFT = {"u": 6, "g": 3, "o": 0}


def check_chmod(text: str) -> None:
    """Raises Invalid, in BuildKit's words."""
    if text.isascii() and text.isdigit():
        if any(char in "89" for char in text) or int(text, 8) > 0o7777:
            raise Invalid(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        return
    if not all(_CLAUSE.match(clause) for clause in text.split(",")):
        raise Invalid(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")


def new_mode(text: str, mode: int, *, directory: bool) -> int:
    """The permission bits of `mode` changed as `text` says; checked before."""
    if text.isdigit():
        return int(text, 8)
    mode &= 0o7777
    for clause in text.split(","):
        match = _CLAUSE.match(clause)
        assert match is not None, text
        who = match.group(1).replace("a", "ugo") or "ugo"
        for sign, letters in _PART.findall(match.group(2)):
            mode = _applied(mode, who, sign, letters, directory)
    return mode


def _applied(mode: int, who: str, sign: str, letters: str, directory: bool) -> int:
    bits = 0
    for person in who:
        value = 0
        for letter in letters:
            if letter in "ugo":
                value |= mode >> _SHIFT[letter] & 7
            elif letter == "X":
                value |= 1 if directory or mode & 0o111 else 0
            elif letter in "rwx":
                value |= {"r": 4, "w": 2, "x": 1}[letter]
            elif letter == "s" and person in "ug":
                bits |= 0o4000 if person == "u" else 0o2000
        bits |= value << _SHIFT[person]
    if "t" in letters:
        bits |= 0o1000
    if sign == "+":
        return mode | bits
    if sign == "-":
        return mode & ~bits
    kept = 0
    for person in who:
        kept |= _WHO[person]
    if not directory:  # a directory keeps these bits, as with chmod(1)
        kept |= 0o4000 * ("u" in who) | 0o2000 * ("g" in who)
    return mode & ~kept | bits
