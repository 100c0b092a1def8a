"""Remove a container: stop it when forced, then take snapshot, files and record, in an order a crash may cut.

The record goes last but for the anonymous volumes; it is marked first, so that a start finds what was begun.
"""

from __future__ import annotations

import logging
import signal
from concurrent.futures import Future
from typing import TYPE_CHECKING

from wharf.engine.container import Container, WaitResult
from wharf.engine.container_events import publish_container_event
from wharf.engine.exit import cancel_restart
from wharf.engine.image_use import note_use
from wharf.engine.links import remove_link
from wharf.engine.loop import done, fail, resolve
from wharf.engine.shipping import end_shipping
from wharf.engine.stop import await_kill, send_signal
from wharf.engine.volumes import remove_anonymous
from wharf.errors import Internal, WharfError
from wharf.kernel import faults
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")


def remove_container(
    engine: Engine, name: str, *, force: bool = False, volumes: bool = False, link: bool = False
) -> Future[None]:
    """The future resolves when it is gone. Raises NotFound, Conflict in Docker's words."""
    if link:
        remove_link(engine, name)
        return done()
    container = engine.containers.live(name)
    with container.lock:
        state = container.record.state
        if not force or state.removal_in_progress:
            container.require(Verb.REMOVE, name)
        if not state.running:
            remove_now(engine, container, volumes)
            return done()
        container.record.manually_stopped = True
        if container.running is None:
            cancel_restart(engine, container)
            remove_now(engine, container, volumes)
            return done()
        return _kill_then_remove(engine, container, volumes)


def _kill_then_remove(engine: Engine, container: Container, volumes: bool) -> Future[None]:
    finished: Future[None] = Future()

    def ended(killed: Future[None]) -> None:
        try:
            killed.result()
            remove_now(engine, container, volumes)
        except BaseException as error:
            fail(finished, error)
        else:
            resolve(finished)

    send_signal(engine, container, int(signal.SIGKILL))
    failed = f'cannot remove container "/{container.record.name}": could not kill: '
    await_kill(engine, container, failed).add_done_callback(ended)
    return finished


def remove_in_background(engine: Engine, container: Container) -> None:
    """For a container with AutoRemove whose start failed: its lock is held now."""
    engine.loop.pool.submit(remove_now, engine, container, True)


def remove_now(engine: Engine, container: Container, volumes: bool) -> None:
    """Remove a container that does not run; one that is gone already is fine. Raises Internal."""
    with container.lock:
        record, state = container.record, container.record.state
        if state.removal_in_progress or state.running:
            return
        state.removal_in_progress, record.remove_volumes = True, volumes
        try:
            engine.database.containers.put(record, durable=False)
            faults.done("remove:marked")
            end_shipping(container)
            discard(engine, record.id)
            with engine.database.transaction():
                engine.database.containers.delete(record.id)
                note_use(engine, record.image_id)
                if volumes:
                    _remove_volumes(engine, container)
                faults.done("remove:volumes")
            faults.done("remove:recorded")
        except (OSError, WharfError) as error:
            state.removal_in_progress, state.dead, state.error = False, True, str(error)
            engine.database.containers.put(record, durable=False)
            container.wake(WaitResult(state.exit_code, str(error)), "removed")
            raise Internal(f"unable to remove container {record.id}: {error}") from error
        engine.containers.discard(container)
        if engine.database.images.get(record.image_id) is None:
            engine.images.operations.request_sweep()  # it was the last to stand on a deleted image's layers
        container.drop_attaching()
    publish_container_event(engine, record, "destroy")
    container.wake(WaitResult(state.exit_code), "removed", "next-exit", "not-running")


def _remove_volumes(engine: Engine, container: Container) -> None:
    try:
        remove_anonymous(engine, container.record)
    except (OSError, WharfError) as error:
        log.warning("volumes of container %s stay: %s", container.id, error)


def discard(engine: Engine, container_id: str) -> None:
    """Take away what a container has on disk, its record aside. Repeatable."""
    engine.supervisor.forget(container_id)
    faults.done("remove:monitor")
    engine.snapshots.remove(container_id)
    faults.done("remove:snapshot")
    engine.trash.discard(engine.directory(container_id))  # by one rename: it works without a free descriptor too
    faults.done("remove:files")
