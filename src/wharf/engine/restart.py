"""Restart a container: stop it when it runs, then start it."""

from __future__ import annotations

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from wharf.engine.container import Container
from wharf.engine.container_events import publish_container_event
from wharf.engine.loop import done, fail, resolve
from wharf.engine.signals import parse_signal
from wharf.engine.start import start_locked
from wharf.engine.stop import begin_stop
from wharf.errors import Conflict, Internal, Invalid, WharfError

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def restart_container(engine: Engine, name: str, timeout: int | None = None, signal: str = "") -> Future[None]:
    """The future resolves when it runs again, or fails as a start does.

    Raises NotFound, Conflict, and Internal for a bad signal to one that runs, as Docker does.
    """
    container = engine.containers.live(name)
    finished: Future[None] = Future()
    # An AutoRemove container stays: it goes when it ends without being asked to come back.
    with container.lock:
        state = container.record.state
        if state.removal_in_progress or state.dead:
            raise Conflict("container is marked for removal and cannot be started")
        try:
            number = parse_signal(signal) if signal and state.running else None
        except Invalid as error:
            raise Internal(f"Cannot restart container {name}: {error.message}") from None
        remove = container.record.host_config.auto_remove
        container.record.host_config.auto_remove = False
        stopped = begin_stop(engine, container, timeout, number) if state.running else done()

    def again(result: Future[Any]) -> None:
        error = result.exception()
        if error is not None:
            container.record.host_config.auto_remove = remove
            fail(finished, error)
            return
        engine.loop.pool.submit(_start_again, engine, (container, name), remove, finished)

    stopped.add_done_callback(again)
    return finished


def _start_again(engine: Engine, named: tuple[Container, str], remove: bool, finished: Future[None]) -> None:
    container, name = named
    try:
        with container.lock:
            container.record.host_config.auto_remove = remove
            container.record.manually_stopped = False
            if not container.record.state.running:
                start_locked(engine, container)
        publish_container_event(engine, container.record, "restart")
    except WharfError as error:
        fail(finished, type(error)(f"Cannot restart container {name}: {error.message}"))
    except BaseException as error:
        fail(finished, error)
    else:
        resolve(finished)
