"""The HEALTHCHECK instruction."""

import re

from wharf.dockerfile.flags import Flags
from wharf.dockerfile.forms import exec_form
from wharf.errors import Invalid
from wharf.spec.image import HealthConfig
from wharf.spec.quote import go_quote

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+")
_UNIT = re.compile(r"[^.0-9]+")
MIN_DURATION = 10**6
"""One millisecond, in nanoseconds."""
MAX_RETRIES = (1 << 31) - 1


def parse_duration(text: str) -> int:
    """A Go duration (`1m30s`) in nanoseconds; raises Invalid with Go's words."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    total, at = 0.0, 0
    for match in _PART.finditer(rest):
        if match.start() != at:
            break
        total += float(match.group(1)) * _UNITS[match.group(2)]
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


def parse_healthcheck(flags: Flags, text: str) -> HealthConfig:
    """`CMD command | NONE`, with the instruction's flags; raises Invalid."""
    kind, *rest = text.split(None, 1) or [""]
    kind, command = kind.upper(), rest[0].strip() if rest else ""
    if not kind:
        raise Invalid("HEALTHCHECK requires at least one argument")
    if kind == "NONE":
        if command:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return HealthConfig(["NONE"])
    if kind != "CMD":
        raise Invalid(f"Unknown type {go_quote(kind)} in HEALTHCHECK (try CMD)")
    words = exec_form(command)
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", command]
    if len(test) == 1 or not test[1]:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    return HealthConfig(
        test,
        interval=_interval(flags, "interval"),
        timeout=_interval(flags, "timeout"),
        start_period=_interval(flags, "start-period"),
        start_interval=_interval(flags, "start-interval"),
        retries=_retries(flags.text("retries")),
    )


def _retries(value: str) -> int:
    if not value:
        return 0
    try:
        count = int(value)
    except ValueError:
        raise Invalid(f"strconv.ParseInt: parsing {go_quote(value)}: invalid syntax") from None
    if count < 0:
        raise Invalid(f"--retries cannot be negative ({count})")
    if count > MAX_RETRIES:
        raise Invalid(f"strconv.ParseInt: parsing {go_quote(value)}: value out of range")
    return count


def _interval(flags: Flags, name: str) -> int:
    text = flags.text(name)
    duration = parse_duration(text) if text else 0
    if duration != 0 and duration < MIN_DURATION:
        raise Invalid(f"Interval {go_quote(name)} cannot be less than 1ms")
    return duration
