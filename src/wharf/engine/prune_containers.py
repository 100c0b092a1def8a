"""Remove the containers that do not run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wharf.engine.disk_usage import container_size
from wharf.engine.filters import Filters, check_filters, labels_match, until
from wharf.engine.remove import remove_container
from wharf.engine.status import parse_time
from wharf.errors import Conflict, NotFound

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("label", "label!", "until")
REMOVE_SECONDS = 30.0
"""A container that does not run is removed in milliseconds."""


def prune_containers(engine: Engine, filters: Filters) -> dict[str, Any]:
    """Ids removed and bytes freed. Raises Invalid for a bad filter."""
    check_filters(filters, FILTERS)
    limit = until(filters, time.time())
    deleted: list[str] = []
    reclaimed = 0
    for record in engine.containers.all():
        if record.state.running or not labels_match(filters, record.config.labels):
            continue
        if limit is not None and parse_time(record.created).timestamp() > limit:
            continue
        try:
            changed, _ = container_size(engine, record.id, record.image_id)
            remove_container(engine, record.id).result(REMOVE_SECONDS)
        except (Conflict, NotFound, FileNotFoundError):
            continue  # started or removed by somebody else meanwhile
        deleted.append(record.id)
        reclaimed += changed
    engine.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return {"ContainersDeleted": deleted or None, "SpaceReclaimed": reclaimed}
