"""Filters of lists and prunes: a map from a filter's name to its values, checked and asked."""

import datetime
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.spec.quantities import parse_duration

Filters = Mapping[str, list[str]]
_UNIX = re.compile(r"\d+(?:\.\d{1,9})?\Z")
MAX_PATTERN = 1000
MAX_REPEATS = 2
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_UNBOUNDED = re.compile(r"[*+{]")
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


def check_filters(filters: Filters, accepted: Iterable[str]) -> None:
    """Raises Invalid `invalid filter 'x'` for one that is not accepted."""
    known = set(accepted)
    for name in filters:
        if name not in known:
            raise Invalid(f"invalid filter '{name[:200]}'")


def flag(filters: Filters, name: str, default: bool) -> bool:
    """A filter that is true or false. Raises Invalid for other values or for both at once."""
    values = filters.get(name)
    if not values:
        return default
    truths = {value in _TRUE for value in values if value in _TRUE | _FALSE}
    if len(truths) != 1 or any(value not in _TRUE | _FALSE for value in values):
        raise Invalid(f"invalid filter '{name}=[{' '.join(values)[:200]}]'")
    return truths.pop()


def labels_match(filters: Filters, labels: Mapping[str, str] | None) -> bool:
    """Whether all of `label` and none of `label!` hold; a value is `key` or `key=value`."""
    have = labels or {}

    def has(text: str) -> bool:
        key, equals, value = text.partition("=")
        return key in have and (not equals or have[key] == value)

    return all(has(text) for text in filters.get("label", ())) and not any(
        has(text) for text in filters.get("label!", ())
    )


def until(filters: Filters, now: float | None = None) -> float | None:
    """The one `until`, in seconds since 1970, or None: a Unix or RFC 3339 time, or a Go duration ago."""
    values = filters.get("until", [])
    if not values:
        return None
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return parse_time(values[0], time.time() if now is None else now)


def parse_time(text: str, now: float) -> float:
    """Seconds since 1970; raises Invalid."""
    if _UNIX.match(text):
        return float(text)
    try:
        return now - parse_duration(text) / 1e9
    except (Invalid, OverflowError):
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"failed to parse value as time or duration: {json.dumps(text[:200])}") from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return moment.timestamp()


def glob_match(pattern: str, text: str) -> bool:
    """Go's path.Match: `*` and `?` do not match a slash. Raises Invalid for a malformed pattern.

    Not by a regular expression: those of Python take time that grows with the power of the stars.
    """
    tokens = _glob(pattern)
    token = at = 0
    star, after = -1, 0
    while at < len(text):
        if token < len(tokens) and tokens[token] is None:
            star, after = token, at
            token += 1
        elif token < len(tokens) and _one(tokens[token], text[at]):
            token, at = token + 1, at + 1
        elif star >= 0 and text[after] != "/":
            # The last star takes one more; earlier ones need not be asked again.
            after += 1
            token, at = star + 1, after
        else:
            return False
    return all(item is None for item in tokens[token:])


@dataclass(frozen=True, slots=True)
class _Set:
    ranges: tuple[tuple[str, str], ...]
    negated: bool


def _one(token: "_Set | str | None", char: str) -> bool:
    if isinstance(token, _Set):
        return any(low <= char <= high for low, high in token.ranges) != token.negated
    return token == char or (token == "" and char != "/")


def _glob(pattern: str) -> "list[_Set | str | None]":
    """One token for each character to match: itself, a set, "" for any; None is a star."""
    tokens: list[_Set | str | None] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            tokens.append(None)
        elif char == "?":
            tokens.append("")
        elif char == "[":
            found, at = _set(pattern, at)
            tokens.append(found)
        elif char == "\\":
            tokens.append(_character(pattern, at))
            at += 1
        else:
            tokens.append(char)
    return tokens


def _set(pattern: str, at: int) -> tuple[_Set, int]:
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while not (ranges and pattern[at : at + 1] == "]"):
        ends = []
        for _ in range(2):
            if pattern[at : at + 1] in ("-", "]"):
                raise Invalid("syntax error in pattern")
            at += pattern[at : at + 1] == "\\"
            ends.append(_character(pattern, at))
            at += 1
            if pattern[at : at + 1] != "-" or len(ends) == 2:
                break
            at += 1
        ranges.append((ends[0], ends[-1]))
    return _Set(tuple(ranges), negated), at + 1


def _character(pattern: str, at: int) -> str:
    if at >= len(pattern):
        raise Invalid("syntax error in pattern")
    return pattern[at]


def name_pattern(text: str) -> re.Pattern[str]:
    """The regular expression of a `name` filter. Raises Invalid for one that is wrong, or could take long.

    Go's take time in proportion to the text; Python's go back, so repeats of repeats and many of them are refused.
    """
    shown = text[:100]
    if len(text) > MAX_PATTERN or _REPEATED_GROUP.search(text) or len(_UNBOUNDED.findall(text)) > MAX_REPEATS:
        raise Invalid(f"invalid filter 'name={shown}': the pattern is too complex")
    if text.count("?") > 2 * MAX_REPEATS:
        raise Invalid(f"invalid filter 'name={shown}': the pattern is too complex")
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"invalid filter 'name={shown}': {error}") from None
