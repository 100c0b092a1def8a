"""What a container changed in its image's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.status import refuse_going
from wharf.spec.image_views import Change
from wharf.storage.layers.pack import changes as layer_changes

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def container_changes(engine: Engine, container: str) -> list[Change]:
    """Changed paths, sorted; kind 0 modified, 1 added, 2 deleted. Raises NotFound; Conflict for a container that is
    being removed."""
    record = engine.containers.find(container)
    try:
        found = layer_changes(engine.worker, engine.snapshots.layers(record.id), host=engine.host)
    finally:  # what a removal has taken away by now is not in it, whether or not that was noticed
        refuse_going(engine.containers.find(record.id), "compare")
    return [Change(path, kind) for kind, path in found]
