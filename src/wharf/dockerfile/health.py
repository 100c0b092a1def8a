"""The HEALTHCHECK instruction."""

from wharf.dockerfile.flags import Flags
from wharf.dockerfile.forms import exec_form
from wharf.errors import Invalid
from wharf.spec.image import HealthConfig
from wharf.spec.quantities import parse_duration
from wharf.spec.quote import go_quote

MIN_DURATION = 10**6
"""One millisecond, in nanoseconds."""
MAX_RETRIES = (1 << 31) - 1


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
