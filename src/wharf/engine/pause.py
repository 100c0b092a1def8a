"""Freeze and thaw a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.errors import Conflict, Internal
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def pause_container(engine: Engine, name: str) -> None:
    """Freeze every process. Raises NotFound, Conflict, Internal."""
    container = engine.containers.live(name)
    with container.lock:
        record = container.record
        container.require(Verb.PAUSE, name)
        try:
            container.must_run().pause()
        except FileNotFoundError:  # its cgroup went with its end, which is not recorded yet
            raise Conflict(f"container {container.id} is not running") from None
        except OSError as error:
            raise Internal(f"cannot pause container {container.id}: {error}") from error
        record.state.paused = True
        engine.database.containers.put(record, durable=False)
    publish_container_event(engine, record, "pause")


def unpause_container(engine: Engine, name: str) -> None:
    """Thaw every process. Raises NotFound, Internal (Docker answers 500 for one that is not paused)."""
    container = engine.containers.live(name)
    with container.lock:
        record = container.record
        container.require(Verb.UNPAUSE, name)
        try:
            container.must_run().resume()
        except FileNotFoundError:
            raise Conflict(f"container {container.id} is not running") from None
        except OSError as error:
            raise Internal(f"cannot unpause container {container.id}: {error}") from error
        record.state.paused = False
        engine.database.containers.put(record, durable=False)
    publish_container_event(engine, record, "unpause")
