"""Patterns of `${name#pattern}` and its kin: `*`, `?`, and escapes; everything else stands for itself.

They become regular expressions whose parts before the last star are atomic groups: earliest match of each part in
turn is right for a pattern without an anchored end, and leaves nothing to backtrack over, whatever the input.
"""

import re
from collections.abc import Sequence
from enum import Enum

from wharf.errors import Invalid

MAX_SUBJECT = 1 << 16
"""Characters of a value that a pattern is tried on."""


class Wild(Enum):
    """What is not a character of its own."""

    ONE = "?"
    MANY = "*"


Token = str | Wild


def tokens(pattern: str) -> list[Token]:
    """The pattern's parts; raises Invalid for an escape that means nothing."""
    out: list[Token] = []
    chars = iter(pattern)
    for char in chars:
        if char in "*?":
            out.append(Wild(char))
            continue
        if char == "\\":
            char = next(chars, "")
            if char not in tuple("*?\\}/"):
                raise Invalid(f"invalid pattern ({pattern}) in substitution: invalid escape '\\{char}'")
        out.append(char)
    return out


def without_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """The value less the prefix that matches."""
    match = _compile(tokens(pattern), longest).match(_bounded(value))
    return value[match.end() :] if match else value


def without_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """The value less the suffix that matches."""
    match = _compile(tokens(pattern)[::-1], longest).match(_bounded(value)[::-1])
    return value[: len(value) - match.end()] if match else value


def replaced(pattern: str, value: str, new: str, *, every: bool) -> str:
    """The value with its first longest match, or every one, replaced."""
    return _compile(tokens(pattern), longest=True).sub(lambda _: new, _bounded(value), count=0 if every else 1)


def _bounded(value: str) -> str:
    if len(value) > MAX_SUBJECT:
        raise Invalid(f"a value of more than {MAX_SUBJECT} characters cannot be matched with a pattern")
    return value


def _compile(parts: Sequence[Token], longest: bool) -> re.Pattern[str]:
    segments: list[str] = [""]
    for token in parts:
        if token is Wild.MANY:
            segments.append("")
        else:
            segments[-1] += "." if token is Wild.ONE else re.escape(str(token))
    if len(segments) == 1:
        return re.compile(segments[0])
    middle = "".join(f"(?>.*?{segment})" for segment in segments[1:-1])
    last = f".*{segments[-1]}" if longest else f".*?{segments[-1]}"
    return re.compile(f"{segments[0]}{middle}{last}")
