"""Durations and sizes as people write them, read as Go's `time.ParseDuration` and Docker's go-units read them."""

import re

from wharf.errors import Invalid
from wharf.spec.quote import go_quote

_TIMES = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_UNIT = re.compile(r"[^.0-9]+")
_SIZES = {"": 1, "b": 1} | {
    letter + tail: 1 << 10 * power for power, letter in enumerate("kmgtp", 1) for tail in ("", "b", "ib")
}


def parse_duration(text: str) -> int:
    """A Go duration (`1m30s`) in nanoseconds; raises Invalid with Go's words."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0.0, 0
    for match in _PART.finditer(rest):
        if match.start() != at:
            break
        total += float(match.group(1)) * _TIMES[match.group(2)]
        at = match.end()
    if not rest or at != len(rest):
        raise Invalid(f"time: {_wrong(rest[at:])}duration {go_quote(text)}")
    return sign * int(total)


def _wrong(rest: str) -> str:
    """What Go's time.ParseDuration says of a part that is none."""
    number = _NUMBER.match(rest)
    if number is None:
        return "invalid "
    unit = _UNIT.match(rest, number.end())
    return f"unknown unit {go_quote(unit.group())} in " if unit else "missing unit in "


def parse_size(text: str) -> int:
    """`10m`, `1.5g`, `-1`: bytes; raises Invalid in go-units' words."""
    if text == "-1":
        return -1
    digits = text.rstrip("bBiIkKmMgGtTpP ")
    unit = text[len(digits) :].strip().lower()
    try:
        number = float(digits)
    except ValueError:
        raise Invalid(f"invalid size: '{text[:50]}'") from None
    if unit not in _SIZES or not 0 <= number < 1 << 50:
        raise Invalid(f"invalid size: '{text[:50]}'")
    return int(number * _SIZES[unit])
