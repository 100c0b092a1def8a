"""Freeze and thaw a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.engine.freezer import GONE, resume_unless_held
from wharf.engine.health import end_health, watch_health
from wharf.errors import Conflict, Internal
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def pause_container(engine: Engine, name: str) -> None:
    """Freeze every process. Raises NotFound, Conflict, Internal."""
    _freeze(engine, name, True)


def unpause_container(engine: Engine, name: str) -> None:
    """Thaw every process. Raises NotFound, Internal (Docker answers 500 for one that is not paused)."""
    _freeze(engine, name, False)


def _freeze(engine: Engine, name: str, frozen: bool) -> None:
    container = engine.containers.live(name)
    verb = Verb.PAUSE if frozen else Verb.UNPAUSE
    with container.gate.close(), container.lock:
        record = container.record
        container.require(verb, name)
        running = container.must_run()
        try:
            if frozen:
                running.pause()
            else:
                resume_unless_held(container, running)
        except OSError as error:
            if error.errno in GONE:
                raise Conflict(f"container {container.id} is not running") from None
            raise Internal(f"cannot {verb.value} container {container.id}: {error}") from error
        record.state.paused = frozen
        if frozen:
            end_health(container)
        else:
            watch_health(engine, container)
        engine.database.containers.put(record, durable=False)
    publish_container_event(engine, record, verb.value)
