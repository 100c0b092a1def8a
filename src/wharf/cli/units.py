"""Docker's human durations, sizes and times (go-units), and the parsing of what people type."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_LETTERS = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def significant(value: float, digits: int) -> str:
    """`%.<digits>g` of C and Go."""
    return f"{value:.{digits}g}"


def _scaled(size: float, base: float, names: tuple[str, ...]) -> tuple[float, str]:
    index = 0
    while size >= base and index < len(names) - 1:
        size /= base
        index += 1
    return size, names[index]


def human_size(size: float, digits: int = 4) -> str:
    """Powers of 1000, four significant digits: `1.984MB`. Docker's tables use three."""
    value, unit = _scaled(size, 1000.0, _DECIMAL)
    return significant(value, digits) + unit


def bytes_size(size: float) -> str:
    """Powers of 1024, four significant digits: `23.54GiB`."""
    value, unit = _scaled(size, 1024.0, _BINARY)
    return significant(value, 4) + unit


def human_duration(seconds: float) -> str:
    """`Less than a second`, `About a minute`, `5 days`: go-units' HumanDuration; `seconds` may be a fraction."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if whole < 120:
        return "About a minute"
    if whole < 3600:
        return f"{whole // 60} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, divisor, name in ((48, 1, "hours"), (336, 24, "days"), (1460, 168, "weeks"), (17520, 730, "months")):
        if hours < limit:
            return f"{hours // divisor} {name}"
    return f"{whole // 3600 // 24 // 365} years"


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def parse_rfc3339(text: str) -> tuple[int, int] | None:
    """Seconds since the epoch and nanoseconds of an RFC 3339 time (a zone is needed), else None."""
    try:
        year, month, day = int(text[0:4]), int(text[5:7]), int(text[8:10])
        hour, minute, second = int(text[11:13]), int(text[14:16]), int(text[17:19])
        if text[4] + text[7] + text[10] + text[13] + text[16] not in ("--T::", "--t::", "-- ::"):
            return None
        fraction, zone = "", text[19:]
        if zone.startswith("."):
            end = 1
            while end < len(zone) and zone[end].isdigit():
                end += 1
            fraction, zone = zone[1:end], zone[end:]
        shift = 0
        if zone not in ("Z", "z"):
            shift = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
            shift = -shift if zone[0] == "-" else shift
    except (ValueError, IndexError):
        return None
    seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - shift
    return seconds, int((fraction + "000000000")[:9])


def go_time(seconds: float) -> str:
    """A time as Go's `String()` prints it in the local zone: `2026-11-23 20:18:21 +0000 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration (`1h30m`, `1.5s`); raises ValueError with Go's words."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total, start = 0.0, 0
    while start < len(rest):
        end = start
        while end < len(rest) and (rest[end].isdigit() or rest[end] == "."):
            end += 1
        stop = end
        while stop < len(rest) and not (rest[stop].isdigit() or rest[stop] == "."):
            stop += 1
        number, unit = rest[start:end], rest[end:stop]
        if number.strip(".").replace(".", "", 1).isdigit() and not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if not number.strip("."):
            raise ValueError(f'time: invalid duration "{text}"')
        if unit not in _DURATION_UNITS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _DURATION_UNITS[unit]
        start = stop
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    return int(-total if text.startswith("-") else total)


def parse_ram(text: str) -> int:
    """Bytes of `64m`, `1.5g`, `1GiB`: powers of 1024 (go-units' RAMInBytes); raises ValueError with its words."""
    end = len(text)
    while end and not (text[end - 1].isdigit() or text[end - 1] == "."):
        end -= 1
    number, suffix = text[:end].rstrip(" "), text[end:].strip(" ").lower()
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"invalid size: '{text}'") from None
    if value < 0 or number.startswith(("-", "+")):
        raise ValueError(f"invalid size: '{text}'")
    if suffix in ("", "b"):
        return int(value)
    if suffix[0] not in _LETTERS or suffix[1:] not in ("", "b", "ib"):
        raise ValueError(f"invalid suffix: '{suffix}'")
    return int(value * 1024 ** _LETTERS[suffix[0]])


def timestamp(text: str, now: Callable[[], float] = time.time) -> str:
    """What `--since` and `--until` send: `seconds.nanoseconds` of a duration ago, a time, or a number as it is."""
    try:
        ago = parse_duration(text)
    except ValueError:
        pass
    else:
        instant = int(now() * 10**9) - ago
        return f"{instant // 10**9}.{instant % 10**9:09d}"
    if text.replace(".", "", 1).isdigit() and "-" not in text:
        return text
    parsed = parse_rfc3339(text) or _local(text)
    if parsed is None:
        raise ValueError(f'failed to parse value as time or duration: "{text}"')
    return f"{parsed[0]}.{parsed[1]:09d}"


def _local(text: str) -> tuple[int, int] | None:
    """A time without zone, of any precision down to the day, in the local zone."""
    main, _, fraction = text.partition(".")
    main = main.removesuffix("Z") + "0000-01-01T00:00:00"[len(main.removesuffix("Z")) :]
    try:
        parts = time.strptime(main, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return None
    digits = (fraction + "000000000")[:9]
    return (int(time.mktime(parts)), int(digits)) if digits.isdigit() else None
