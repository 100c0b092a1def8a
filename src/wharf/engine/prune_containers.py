"""Remove every container that does not run."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future
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
    begun: dict[str, tuple[Future[None], int]] = {}
    for container in engine.containers:
        record = container.record
        created = (to_nanoseconds(record.created) or 0) / 1e9
        if record.state.running or (limit is not None and created > limit):
            continue
        if not labels_match(filters, record.config.labels):
            continue
        with contextlib.suppress(WharfError):
            size = engine.snapshots.usage(record.id)
            begun[record.id] = remove_now(engine, container, volumes=False), size
    # Together: one whose log is still to be sent resolves after a bounded time.
    gone = {found: size for found, (removed, size) in begun.items() if removed.exception() is None}
    deleted, space = list(gone), sum(gone.values())
    engine.events.publish("container", "prune", "", {"reclaimed": str(space)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": space}
