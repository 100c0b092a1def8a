"""Filters of lists and prunes: a map from a filter's name to its values, checked and asked."""

import datetime
import json
import re
import time
from collections.abc import Iterable, Mapping

from wharf.dockerfile.health import parse_duration
from wharf.errors import Invalid

Filters = Mapping[str, list[str]]
_UNIX = re.compile(r"\d+(?:\.\d{1,9})?\Z")
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
    except Invalid:
        pass
    try:
        moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"failed to parse value as time or duration: {json.dumps(text[:200])}") from None
    if moment.tzinfo is None:
        moment = moment.astimezone()
    return moment.timestamp()


def glob_match(pattern: str, text: str) -> bool:
    """Go's path.Match: `*` and `?` do not match a slash. Raises Invalid for a malformed pattern."""
    return re.fullmatch(_glob(pattern), text) is not None


def _glob(pattern: str) -> str:
    out, at = "", 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\" and at < len(pattern):
            out += re.escape(pattern[at])
            at += 1
        elif char == "[":
            end = pattern.find("]", at + 1)
            if end < 0:
                raise Invalid(f"syntax error in pattern {pattern[:200]!r}")
            body = pattern[at:end].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[{body}]"
            at = end + 1
        else:
            out += re.escape(char)
    return out
