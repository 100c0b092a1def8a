"""Remove every container that does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, labels_match, until
from wharf.engine.remove import remove_now
from wharf.engine.times import to_nanoseconds
from wharf.errors import Conflict, WharfError

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("label", "label!", "until")


def prune_containers(engine: Engine, filters: Filters) -> dict[str, Any]:
    """What was removed, and the bytes of their own layers. Raises Invalid for a bad filter."""
    check_filters(filters, FILTERS)
    limit = until(filters)
    if not engine.pruning.acquire(blocking=False):
        raise Conflict("a prune operation is already running")
    try:
        return _prune(engine, filters, limit)
    finally:
        engine.pruning.release()


def _prune(engine: Engine, filters: Filters, limit: float | None) -> dict[str, Any]:
    deleted: list[str] = []
    space = 0
    for container in engine.containers:
        record = container.record
        created = (to_nanoseconds(record.created) or 0) / 1e9
        if record.state.running or (limit is not None and created > limit):
            continue
        if not labels_match(filters, record.config.labels):
            continue
        try:
            size = engine.snapshots.usage(record.id)
            remove_now(engine, container, volumes=False)
        except WharfError:
            continue
        deleted.append(record.id)
        space += size
    engine.events.publish("container", "prune", "", {"reclaimed": str(space)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": space}
