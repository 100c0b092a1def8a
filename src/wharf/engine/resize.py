"""Set the size of a container's or an exec's terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def resize_container(engine: Engine, name: str, height: int, width: int) -> None:
    """Rows and columns. Raises NotFound, Conflict when it does not run."""
    container = engine.containers.live(name)
    container.require(Verb.RESIZE, name)
    container.must_run().resize(height, width)
    publish_container_event(engine, container.record, "resize", height=str(height), width=str(width))


def resize_exec(engine: Engine, exec_id: str, height: int, width: int) -> None:
    """Also before its start (then it starts with that size) and after its end (nothing happens). Raises NotFound."""
    item = engine.containers.find_exec(exec_id)[1]
    running = item.running
    if running is not None:
        running.resize(height, width)
    elif not item.started:
        item.size = (height, width)
