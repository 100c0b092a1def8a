"""RFC 3339 times of images, as seconds since 1970."""

import calendar
import re
import time

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))\Z")


def seconds_of(text: str) -> int:
    """Whole seconds; 0 for what is no time, or before 1970."""
    match = _TIME.match(text)
    if match is None:
        return 0
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        found = calendar.timegm((year, month, day, hour, minute, second))
    except (ValueError, OverflowError):
        return 0
    if match.group(7):
        offset = int(match.group(8)) * 3600 + int(match.group(9)) * 60
        found -= offset if match.group(7) == "+" else -offset
    return max(found, 0)


def text_of(seconds: int) -> str:
    """The other way."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
