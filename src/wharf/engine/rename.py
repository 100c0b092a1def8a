"""Give a container another name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.engine.endpoints import name_endpoints, tell_names
from wharf.engine.links import renamed
from wharf.engine.names import check_name
from wharf.errors import Conflict, Invalid, NotFound
from wharf.kernel import faults

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

HEAD = "Error when allocating new name: "


def rename_container(engine: Engine, name: str, new_name: str) -> None:
    """Raises NotFound, Invalid, Conflict in Docker's words."""
    if not name or not new_name:
        raise Invalid("Neither old nor new names may be empty")
    container = engine.containers.live(name)
    with container.lock:
        record, old = container.record, container.record.name
        if record.state.removal_in_progress:
            raise NotFound(f"No such container: {name}")
        if "/" + old == "/" + new_name.removeprefix("/"):
            raise Invalid("Renaming a container with the same name as its current name")
        try:
            new = check_name("/" + new_name.removeprefix("/") if new_name != "/" else new_name)
            engine.containers.reserve(new, container.id)
        except (Invalid, Conflict) as error:
            raise type(error)(HEAD + error.message) from None
        record.name = new
        name_endpoints(record)
        try:
            engine.database.containers.put(record)
            faults.done("rename:recorded")
        except BaseException:
            record.name = old
            name_endpoints(record)
            engine.containers.release(new, container.id)
            raise
        engine.containers.relink(record, old)
        renamed(engine, record)
        tell_names(engine, container)
        engine.containers.release(old, container.id)
    publish_container_event(engine, record, "rename", oldName=f"/{old}")
