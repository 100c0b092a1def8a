"""Remove a container: stop it when forced, then take snapshot, files and record, in an order a crash may cut.

The record goes last but for the anonymous volumes; it is marked first, so that a start finds what was begun.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from wharf.engine.container import Container, WaitResult
from wharf.engine.container_events import publish_container_event
from wharf.engine.exit import cancel_restart
from wharf.engine.image_mounts import images_of, views_of
from wharf.engine.image_use import note_use
from wharf.engine.links import remove_link
from wharf.engine.loop import done, fail, own, resolve
from wharf.engine.shipping import end_shipping
from wharf.engine.stop import await_kill, send_signal
from wharf.engine.volumes import remove_anonymous
from wharf.errors import Internal, Unavailable, WharfError
from wharf.kernel import faults
from wharf.runtime.lifecycle import State, Verb, refusal, require

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
        if container.removal is not None:
            require(Verb.REMOVE, State.REMOVING, container.id, name)
        if not force:
            container.require(Verb.REMOVE, name)
        if not state.running:
            return remove_now(engine, container, volumes)
        container.record.manually_stopped = True
        if container.running is None:
            cancel_restart(engine, container)
            return remove_now(engine, container, volumes)
        return _kill_then_remove(engine, container, volumes)


def _kill_then_remove(engine: Engine, container: Container, volumes: bool) -> Future[None]:
    finished: Future[None] = Future()
    container.removal = finished  # from now on nothing starts it

    def ended(killed: Future[None]) -> None:
        error = killed.exception()
        if error is None:
            _remove(engine, container, volumes, step=False)
        else:
            _fail(container, finished, error)

    send_signal(engine, container, int(signal.SIGKILL))
    failed = f'cannot remove container "/{container.record.name}": could not kill: '
    await_kill(engine, container, failed).add_done_callback(ended)
    return own(finished)


def remove_in_background(engine: Engine, container: Container) -> None:
    """For a container with AutoRemove whose start failed: its lock is held now."""
    engine.loop.pool.submit(remove_now, engine, container, True)


def remove_now(engine: Engine, container: Container, volumes: bool, *, step: bool = False) -> Future[None]:
    """Remove a container that does not run; one that is gone already is fine, and one that somebody removes is waited
    for. The future has its result, or an Internal that was logged, when this returns, unless there is somebody else or
    some of its log is still to be sent: no thread and no lock waits. It has Conflict for what runs.

    `step`: of a build, of which nobody was told. Nothing waits for the disk, and no image goes with it.
    """
    with container.lock:
        other, container.removal = container.removal, container.removal or Future()
    return own(other) if other is not None else _remove(engine, container, volumes, step)


def _remove(engine: Engine, container: Container, volumes: bool, step: bool) -> Future[None]:
    """As `remove_now`, for who has put `container.removal` there."""
    with container.lock:
        record, state, finished = container.record, container.record.state, container.removal
        assert finished is not None
        if state.running:  # not that one removed something that somebody has started again
            _fail(container, finished, refusal(Verb.REMOVE, State.RUNNING, record.id, record.name))
            return own(finished)
        state.removal_in_progress, record.remove_volumes = True, volumes
        if not _attempt(lambda: _mark(engine, container), engine, container, finished):
            return finished

    def go_on() -> None:
        if _attempt(lambda: _take_away(engine, container, step), engine, container, finished):
            _tell(engine, container, step)
            resolve(finished)

    sent = end_shipping(engine, container)
    if sent.done():
        go_on()
    else:
        sent.add_done_callback(lambda _: _later(engine, go_on, finished))
    return own(finished)


def _fail(container: Container, finished: Future[None], error: BaseException | None) -> None:
    """It stays, and may be asked to go again."""
    assert error is not None
    with container.lock:
        container.removal = None
    fail(finished, error)


def _later(engine: Engine, work: Callable[[], None], finished: Future[None]) -> None:
    try:
        engine.loop.pool.submit(work)
    except RuntimeError:
        fail(finished, Unavailable("the engine is closing: its next start goes on with the removal"))


def _attempt(step: Callable[[], None], engine: Engine, container: Container, finished: Future[None]) -> bool:
    """Whether it succeeds. What fails leaves the container dead: its removal may be asked for again."""
    record, state = container.record, container.record.state
    try:
        step()
    except Exception as error:
        message = f"unable to remove container {record.id}: {error}"
        log.warning("%s", message, exc_info=not isinstance(error, OSError | WharfError))
        with container.lock, contextlib.suppress(WharfError):  # a full disk takes no row either
            state.removal_in_progress, state.dead, state.error = False, True, str(error)
            engine.database.containers.put(record, durable=False)
        container.wake(WaitResult(state.exit_code, str(error)), "removed")
        _fail(container, finished, Internal(message))
        return False
    return True


def _mark(engine: Engine, container: Container) -> None:
    engine.database.containers.put(container.record, durable=False)
    faults.done("remove:marked")


def _take_away(engine: Engine, container: Container, step: bool) -> None:
    record = container.record
    with container.lock:
        discard(engine, record.id, views_of(record))
        with engine.database.transaction(durable=not step):
            engine.database.containers.delete(record.id, durable=not step)
            for image_id in () if step else images_of(record):
                note_use(engine, image_id)
            if record.remove_volumes:
                _remove_volumes(engine, container)
            faults.done("remove:volumes")
        faults.done("remove:recorded")


def _tell(engine: Engine, container: Container, step: bool) -> None:
    record = container.record
    with container.lock:
        engine.containers.discard(container)
        if not step and any(engine.database.images.get(image_id) is None for image_id in images_of(record)):
            engine.images.operations.request_sweep()  # it was the last to stand on a deleted image's layers
        container.drop_attaching()
    publish_container_event(engine, record, "destroy")
    container.wake(WaitResult(record.state.exit_code), "removed", "next-exit", "not-running")


def _remove_volumes(engine: Engine, container: Container) -> None:
    try:
        remove_anonymous(engine, container.record)
    except (OSError, WharfError) as error:
        log.warning("volumes of container %s stay: %s", container.id, error)


def discard(engine: Engine, container_id: str, views: Iterable[str]) -> None:
    """Take away what a container has on disk, its record aside; `views` are its snapshots of images. Repeatable."""
    engine.supervisor.forget(container_id)
    faults.done("remove:monitor")
    for key in (container_id, *views):
        engine.snapshots.remove(key)
    faults.done("remove:snapshot")
    engine.trash.discard(engine.directory(container_id))  # by one rename: it works without a free descriptor too
    faults.done("remove:files")
