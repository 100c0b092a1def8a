"""Durations, sizes and file modes as Compose files write them and Go prints them back."""

import re

from wharf.errors import Invalid

_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
          "d": 24 * 3600 * 10**9, "w": 7 * 24 * 3600 * 10**9}  # fmt: skip
_PIECE = re.compile(r"([0-9]*)(?:\.([0-9]*))?([a-zµμ]*)")
_SIZES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_NUMBER = re.compile(r"[0-9. ]")
_INT64 = 1 << 63


def parse_duration(text: str) -> int:
    """Nanoseconds of `1h30m`, `1.5s`, `2d`; raises Invalid with Go's words."""
    rest = text
    sign = -1 if rest[:1] == "-" else 1
    rest = rest[1:] if rest[:1] in ("-", "+") else rest
    if rest == "0":
        return 0
    if not rest:
        raise Invalid(f'time: invalid duration "{text}"')
    total = 0
    while rest:
        found = _PIECE.match(rest)
        assert found is not None
        whole, fraction, unit = found.groups()
        if not whole and not fraction:
            raise Invalid(f'time: invalid duration "{text}"')
        if not unit:
            raise Invalid(f'time: missing unit in duration "{text}"')
        if unit not in _UNITS:
            raise Invalid(f'time: unknown unit "{unit}" in duration "{text}"')
        total += int(whole or 0) * _UNITS[unit]
        if fraction:
            total += int(int(fraction) * _UNITS[unit] // 10 ** len(fraction))
        rest = rest[found.end() :]
    if total >= _INT64:
        raise Invalid(f'time: invalid duration "{text}"')
    return sign * total


def show_duration(nanoseconds: int) -> str:
    """Go's text of a duration: `1m30s`, `1.5s`, `100ms`, `0s`."""
    sign = "-" if nanoseconds < 0 else ""
    left = abs(nanoseconds)
    if left == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if left < size * 1000:
            return f"{sign}{_fraction(left, size)}{unit}"
    hours, left = divmod(left, 3600 * 10**9)
    minutes, left = divmod(left, 60 * 10**9)
    text = f"{_fraction(left, 10**9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else sign + text


def _fraction(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = str(rest).zfill(len(str(size)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


def parse_size(text: str) -> int:
    """Bytes of `64m`, `1.5g`, `10kb`, `1KiB` (units of 1024); raises Invalid with go-units' words."""
    last = max((index for index, character in enumerate(text) if character in "0123456789. "), default=-1)
    if last < 0:
        raise Invalid(f"invalid size: '{text}'")
    number, suffix = (text[:last] if text[last] == " " else text[: last + 1]), text[last + 1 :].lower()
    try:
        size = float(number)
    except ValueError:
        raise Invalid(f'strconv.ParseFloat: parsing "{number}": invalid syntax') from None
    if size < 0:
        raise Invalid(f"invalid size: '{text}'")
    unit = 1
    if suffix and suffix != "b":
        if suffix[0] not in _SIZES or suffix[1:] not in ("", "b", "ib"):
            raise Invalid(f"invalid suffix: '{suffix if len(suffix) < 4 else text[last + 1 :]}'")
        unit = _SIZES[suffix[0]]
    return int(size * unit)


def parse_mode(text: str) -> int:
    """A file's mode in octal; raises Invalid with Go's words."""
    digits = text[1:] if text[:1] in "+-" and text else text
    if not digits or any(digit not in "01234567" for digit in digits):
        raise Invalid(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text, 8)
