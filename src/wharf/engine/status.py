"""What a container is doing, in Docker's words: the state word and the human status line."""

import functools
from datetime import UTC, datetime

from wharf.errors import Conflict
from wharf.spec.container import ZERO_TIME, ContainerRecord, ContainerState
from wharf.spec.health import STARTING

MINUTE, HOUR, DAY = 60, 3600, 86400


def state_word(state: ContainerState) -> str:
    """`created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`, by moby's precedence."""
    if state.running:
        if state.paused:
            return "paused"
        return "restarting" if state.restarting else "running"
    if state.removal_in_progress:
        return "removing"
    if state.dead:
        return "dead"
    return "created" if state.started_at == ZERO_TIME else "exited"


def refuse_going(record: ContainerRecord, doing: str) -> None:
    """Raises Conflict in Docker's words for `doing` ("commit", "export") with a container that is being removed."""
    if record.state.dead:
        raise Conflict(f"You cannot {doing} container {record.id} which is Dead")
    if record.state.removal_in_progress:
        raise Conflict(f"You cannot {doing} container {record.id} which is being removed")


def status_line(state: ContainerState, now: datetime | None = None) -> str:
    """`Up 5 minutes`, `Exited (0) 2 hours ago`, …; `now` is UTC."""
    now = now or datetime.now(UTC)
    word = state_word(state)
    if word == "restarting":
        return f"Restarting ({state.exit_code}) {human_duration(_since(state.finished_at, now))} ago"
    if word in ("running", "paused"):
        return f"Up {human_duration(_since(state.started_at, now))}{_remark(state)}"
    if word == "exited":
        return f"Exited ({state.exit_code}) {human_duration(_since(state.finished_at, now))} ago"
    return {"removing": "Removal In Progress", "dead": "Dead"}.get(word, "Created")


def _remark(state: ContainerState) -> str:
    if state.paused:
        return " (Paused)"
    if state.health is None:
        return ""
    return f" (health: {STARTING})" if state.health.status == STARTING else f" ({state.health.status})"


@functools.lru_cache(4096)
def parse_time(text: str) -> datetime:
    """RFC 3339 with up to nine digits of fraction, to microseconds."""
    base, dot, rest = text.removesuffix("Z").partition(".")
    micro = f".{rest[:6]}" if dot else ""
    return datetime.fromisoformat(base + micro).replace(tzinfo=UTC)


def unix_seconds(text: str) -> int:
    """Seconds since the epoch of an RFC 3339 time."""
    return int(parse_time(text).timestamp())


def _since(text: str, now: datetime) -> float:
    return max(0.0, (now - parse_time(text)).total_seconds())


def human_duration(seconds: float) -> str:
    """go-units' HumanDuration: `Less than a second`, `About a minute`, `3 days`, …"""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < MINUTE:
        return f"{whole} seconds"
    minutes = whole // MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"
