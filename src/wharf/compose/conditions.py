"""What `depends_on` and `--wait` wait for, as a question to a container's inspection (pure)."""

from __future__ import annotations

from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PENDING, MET = "pending", "met"


class Failed(Exception):
    """It cannot become true any more; the text says why."""


def state_of(condition: str, service: str, container: Mapping[str, Any]) -> str:
    """PENDING or MET; raises Failed with docker compose's words."""
    state = container.get("State") or {}
    if condition == "service_completed_successfully":
        return _completed(service, state)
    name = str(container.get("Name", "")).lstrip("/")
    if state.get("Status") == "exited":
        raise Failed(f"container {name} exited ({state.get('ExitCode', 0)})")
    check = (container.get("Config") or {}).get("Healthcheck") or {}
    if not check.get("Test") and condition == "running_or_healthy":
        return MET if state.get("Status") == "running" else PENDING
    health = state.get("Health")
    if not health:
        if condition == "running_or_healthy" and check.get("Test") == ["NONE"]:
            return MET if state.get("Status") == "running" else PENDING
        raise Failed(f"container {name} has no healthcheck configured")
    status = health.get("Status")
    if status == "unhealthy":
        raise Failed(f"container {name} is unhealthy")
    return MET if status == "healthy" else PENDING


def _completed(service: str, state: Mapping[str, Any]) -> str:
    if state.get("Status") != "exited":
        return PENDING
    code = state.get("ExitCode", 0)
    if code:
        raise Failed(f'service "{service}" didn\'t complete successfully: exit {code}')
    return MET
