"""What health checks say of a container, as inspect shows it. Times are RFC 3339 in UTC."""

from dataclasses import dataclass, field

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"


@dataclass(slots=True)
class ProbeResult:
    """One run of the check; `exit_code` is -1 when it did not start or did not end in time."""

    start: str = ""
    end: str = ""
    exit_code: int = 0
    output: str = ""


@dataclass(slots=True)
class Health:
    """`log` holds the last five results, the newest last."""

    status: str = STARTING
    failing_streak: int = 0
    log: list[ProbeResult] = field(default_factory=list)
