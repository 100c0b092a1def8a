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
from wharf.errors import Internal, Invalid, WharfError

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def restart_container(engine: Engine, name: str, timeout: int | None = None, signal: str = "") -> Future[None]:
    """The future resolves when it runs again, or fails as a start does.

    Raises NotFound, Conflict, and Internal for a bad signal to one that runs, as Docker does.
    """
    container = engine.containers.live(name)
    finished: Future[None] = Future()
    with container.lock:
        state = container.record.state
        container.require_stays()
        try:
            number = parse_signal(signal) if signal and state.running else None
        except Invalid as error:
            raise Internal(f"Cannot restart container {name}: {error.message}") from None
        # An AutoRemove container stays: it goes when it ends without being asked to come back.
        container.coming_back += 1
        try:
            stopped = begin_stop(engine, container, timeout, number) if state.running else done()
        except BaseException:
            container.coming_back -= 1
            raise

    def again(result: Future[Any]) -> None:
        error = result.exception()
        if error is None:
            engine.loop.pool.submit(_start_again, engine, container, name, finished)
            return
        with container.lock:
            container.coming_back -= 1
        fail(finished, error)

    stopped.add_done_callback(again)
    return finished


def _start_again(engine: Engine, container: Container, name: str, finished: Future[None]) -> None:
    try:
        with container.lock:
            container.coming_back -= 1
            container.require_stays()
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
