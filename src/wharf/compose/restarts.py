"""Restarting services: in the order of their dependencies, with their hooks, and those that want to go along."""

from __future__ import annotations

from wharf.client.api import query
from wharf.compose import labels
from wharf.compose.actions import Context, run_hook
from wharf.compose.order import in_order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


def restart_services(context: Context, names: Iterable[str], timeout: int | None = None) -> None:
    """Restarts the containers that were observed of services; raises WharfError with the first failure.

    `timeout`: seconds for a container to stop; None is what it was made with.
    """
    services, chosen = context.project.services, set(names)
    for name in in_order(services):
        if name in chosen:
            for container in context.observed.of_service(name):
                _restart(context, name, container, timeout)


def _restart(context: Context, name: str, container: dict[str, Any], timeout: int | None) -> None:
    service = context.project.services[name]
    subject, id = f"Container {labels.name_of(container)}", container["Id"]
    if container.get("State") == "running":
        for hook in service.get("pre_stop") or ():
            run_hook(context, id, name, service, hook)
    context.report(subject, "Restarting")
    seconds = query({"t": None if timeout is None else str(timeout)})
    context.engine.client.post(f"/containers/{id}/restart{seconds}")
    context.report(subject, "Started")
    for hook in service.get("post_start") or ():
        run_hook(context, id, name, service, hook)


def with_dependents(services: dict[str, Any], names: Iterable[str]) -> set[str]:
    """And those that depend with `restart: true` on one of them."""
    chosen = set(names)
    while True:
        more = {
            name
            for name, item in services.items()
            for other, how in (item.get("depends_on") or {}).items()
            if other in chosen and how.get("restart")
        }
        if more <= chosen:
            return chosen
        chosen |= more
