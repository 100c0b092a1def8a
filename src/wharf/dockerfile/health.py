"""The HEALTHCHECK instruction."""

import json
import re
from collections.abc import Callable

from wharf.errors import Invalid
from wharf.spec.image import HealthConfig

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_FLAGS = {
    "interval": "interval",
    "timeout": "timeout",
    "start-period": "start_period",
    "start-interval": "start_interval",
    "retries": "retries",
}
MIN_DURATION = 10**6
"""One millisecond, in nanoseconds."""


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
        raise Invalid(f"time: invalid duration {json.dumps(text)}")
    return sign * int(total)


def parse_healthcheck(text: str, exec_form: Callable[[str], tuple[str, ...] | None]) -> HealthConfig:
    """`[--flag=value …] CMD command | NONE`; raises Invalid."""
    flags, rest = _flags(text)
    kind, _, command = rest.partition(" ")
    kind, command = kind.upper(), command.strip()
    if not kind:
        raise Invalid("HEALTHCHECK requires at least one argument")
    if kind == "NONE":
        if command:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return HealthConfig(["NONE"])
    if kind != "CMD":
        raise Invalid(f"Unknown type {json.dumps(kind)} in HEALTHCHECK (try CMD)")
    words = exec_form(command)
    test = ["CMD", *words] if words is not None else ["CMD-SHELL", command]
    if len(test) == 1 or not test[1]:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    return HealthConfig(test, **flags)


def _flags(text: str) -> tuple[dict[str, int], str]:
    flags: dict[str, int] = {}
    rest = text
    while rest.startswith("--"):
        word, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        key, _, value = word[2:].partition("=")
        field = _FLAGS.get(key)
        if field is None:
            raise Invalid(f"unknown flag: --{key}")
        if field in flags:
            raise Invalid(f"duplicate flag specified: {key}")
        flags[field] = _retries(value) if field == "retries" else _interval(key, value)
    return flags, rest


def _retries(value: str) -> int:
    try:
        count = int(value)
    except ValueError:
        raise Invalid(f"--retries: {json.dumps(value)} is not a number") from None
    if count < 0:
        raise Invalid(f"--retries cannot be negative ({count})")
    return count


def _interval(key: str, value: str) -> int:
    duration = parse_duration(value)
    if 0 < duration < MIN_DURATION:
        raise Invalid(f"Interval {json.dumps(key)} cannot be less than 1ms")
    if duration < 0:
        raise Invalid(f"Interval {json.dumps(key)} cannot be negative")
    return duration
