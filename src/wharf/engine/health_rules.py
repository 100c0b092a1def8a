"""What a health check asks for and what its results mean. Pure; numbers and rules are Docker's (daemon/health.go).

state \\ result   good      early bad   bad         bad, as often as `retries`
starting         healthy   starting    starting    unhealthy
healthy          healthy   -           healthy     unhealthy
unhealthy        healthy   -           unhealthy   unhealthy

A bad result is early while the container has never been healthy and is younger than the start period: it is not
counted. A start makes `starting` of any state, a pause or an end `unhealthy`.
"""

from dataclasses import dataclass
from enum import Enum

from wharf.spec.container import ContainerConfig
from wharf.spec.health import HEALTHY, STARTING, UNHEALTHY, Health, ProbeResult

DEFAULT_INTERVAL = 30.0
DEFAULT_TIMEOUT = 30.0
DEFAULT_START_INTERVAL = 5.0
DEFAULT_RETRIES = 3
MAX_LOG = 5
MAX_OUTPUT = 4096
"""Bytes of one result's output; what is cut ends in `...`."""
CUT = "..."
_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Plan:
    """One container's check: the command and its times in seconds."""

    command: tuple[str, ...]
    interval: float = DEFAULT_INTERVAL
    timeout: float = DEFAULT_TIMEOUT
    start_period: float = 0.0
    start_interval: float = DEFAULT_START_INTERVAL
    retries: int = DEFAULT_RETRIES

    def delay(self, status: str, age: float) -> float:
        """Seconds until the next check of a container that was started `age` seconds ago."""
        return self.start_interval if status == STARTING and age < self.start_period else self.interval


def plan_of(config: ContainerConfig) -> Plan | None:
    """The check of a container; None without one, with `NONE`, and for types that nobody knows."""
    check = config.healthcheck
    if check is None or not check.test or check.test[0] not in ("CMD", "CMD-SHELL"):
        return None
    words = tuple(check.test[1:])
    if check.test[0] == "CMD-SHELL":
        words = (*(config.shell or _SHELL), *words)
    return Plan(
        words,
        _seconds(check.interval, DEFAULT_INTERVAL),
        _seconds(check.timeout, DEFAULT_TIMEOUT),
        _seconds(check.start_period, 0.0),
        _seconds(check.start_interval, DEFAULT_START_INTERVAL),
        check.retries if check.retries > 0 else DEFAULT_RETRIES,
    )


def _seconds(nanoseconds: int, default: float) -> float:
    return nanoseconds / 1e9 if nanoseconds else default


class Verdict(Enum):
    """What a result says."""

    GOOD = "good"
    EARLY = "early"
    BAD = "bad"
    LAST = "last"


_NEXT = {
    (STARTING, Verdict.GOOD): HEALTHY,
    (STARTING, Verdict.EARLY): STARTING,
    (STARTING, Verdict.BAD): STARTING,
    (STARTING, Verdict.LAST): UNHEALTHY,
    (HEALTHY, Verdict.GOOD): HEALTHY,
    (HEALTHY, Verdict.BAD): HEALTHY,
    (HEALTHY, Verdict.LAST): UNHEALTHY,
    (UNHEALTHY, Verdict.GOOD): HEALTHY,
    (UNHEALTHY, Verdict.BAD): UNHEALTHY,
    (UNHEALTHY, Verdict.LAST): UNHEALTHY,
}


def verdict(health: Health, plan: Plan, exit_code: int, age: float) -> Verdict:
    """`age` is how many seconds after the container's start the check began."""
    if exit_code == 0:
        return Verdict.GOOD
    if health.status == STARTING and age < plan.start_period:
        return Verdict.EARLY
    return Verdict.LAST if health.failing_streak + 1 >= plan.retries else Verdict.BAD


def after(health: Health, plan: Plan, result: ProbeResult, age: float) -> Health:
    """The health once a result has come."""
    found = verdict(health, plan, result.exit_code, age)
    streak = {Verdict.GOOD: 0, Verdict.EARLY: health.failing_streak}.get(found, health.failing_streak + 1)
    return Health(_NEXT[health.status, found], streak, [*health.log, result][-MAX_LOG:])


def text_of(output: bytes, complete: bool = True) -> str:
    """A result's output as it is shown."""
    text = output[:MAX_OUTPUT].decode(errors="replace")
    return text if complete and len(output) <= MAX_OUTPUT else text + CUT
