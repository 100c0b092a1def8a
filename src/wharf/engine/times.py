"""RFC 3339 times as Docker writes them."""

import datetime
import functools
import re

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\Z")


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC, trailing zeros of the fraction left out as Go's RFC3339Nano does."""
    seconds, rest = divmod(nanoseconds, 10**9)
    text = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{text}{fraction}Z"


@functools.lru_cache(4096)
def to_nanoseconds(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 time; None where it is none."""
    match = _RFC3339.match(text)
    if match is None:
        return None
    whole, fraction, zone = match.groups()
    moment = datetime.datetime.fromisoformat(whole + ("+00:00" if zone == "Z" else zone))
    return int(moment.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def to_seconds(text: str) -> int:
    """Seconds since 1970; 0 where the text is no time."""
    nanoseconds = to_nanoseconds(text)
    return 0 if nanoseconds is None else nanoseconds // 10**9
