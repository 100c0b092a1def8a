"""Stop a container: its stop signal, a grace, SIGKILL. The grace is a timer, never a waiting thread."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.engine.container_events import publish_container_event
from wharf.engine.exit import cancel_restart
from wharf.engine.health import watch_health
from wharf.engine.loop import Timer, done, fail, resolve
from wharf.engine.signals import parse_signal
from wharf.engine.storing import store
from wharf.errors import Internal, Invalid, WharfError
from wharf.kernel import faults
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

DEFAULT_GRACE = 10
KILL_GRACE = 10.0
"""Seconds for a SIGKILL to take effect before the whole cgroup is killed."""
GIVE_UP = 30.0

log = logging.getLogger("wharf.engine")


def stop_container(engine: Engine, name: str, timeout: int | None = None, signal: str = "") -> Future[None]:
    """Begin to stop; the future resolves when it is stopped. `timeout` in seconds, negative: wait for ever.

    Raises NotFound, NotModified when nothing runs, Internal for a bad signal as Docker does.
    """
    container = engine.containers.live(name)
    with container.lock:
        container.require(Verb.STOP, name)
        try:
            wanted = parse_signal(signal) if signal else None
        except Invalid as error:
            raise Internal(f"cannot stop container: {name}: {error.message}") from None
        return begin_stop(engine, container, timeout, wanted)


def begin_stop(engine: Engine, container: Container, timeout: int | None, number: int | None) -> Future[None]:
    """As `stop_container`, under the container's lock and when it runs. The event `stop` comes when it is done."""
    record = container.record
    record.manually_stopped = True
    if container.running is None:
        cancel_restart(engine, container)
        publish_container_event(engine, record, "stop")
        return done()
    store(engine, record, "the order to stop")
    faults.done("stop:recorded")
    finished: Future[None] = Future()
    if timeout is None:
        timeout = record.config.stop_timeout if record.config.stop_timeout is not None else DEFAULT_GRACE
    attempt = _Stop(engine, container, finished, f"cannot stop container: {container.id}: ", event="stop")
    container.stopped.add_done_callback(attempt.ended)
    attempt.ask(number or stop_signal(container), timeout)
    faults.done("stop:signalled")
    return finished


def await_kill(engine: Engine, container: Container, failed: str) -> Future[None]:
    """After SIGKILL, under the container's lock: resolves when the run is over and recorded.

    What does not end is killed with its whole cgroup; what stays even then fails it with Internal, `failed` before
    Docker's words.
    """
    finished: Future[None] = Future()
    attempt = _Stop(engine, container, finished, failed)
    container.stopped.add_done_callback(attempt.ended)
    attempt.killed()
    return finished


def stop_signal(container: Container) -> int:
    """The signal that asks the container to end."""
    text = container.record.config.stop_signal
    return parse_signal(text) if text else int(signal.SIGTERM)


class _Stop:
    """One stop or kill under way: what comes next when the container does not end."""

    def __init__(
        self, engine: Engine, container: Container, finished: Future[None], failed: str, *, event: str = ""
    ) -> None:
        """`failed` begins what is said when it does not end, `event` tells that it has."""
        self._engine, self._container, self._finished = engine, container, finished
        self._failed, self._event = failed, event
        self._timer: Timer | None = None
        self._over = False

    def ask(self, number: int, grace: int) -> None:
        """Send the stop signal and wait `grace` seconds."""
        if not self._signal(number):
            grace = min(grace, 2) if grace >= 0 else 2
        if grace == 0:
            self.kill()
        elif grace > 0:
            self._after(float(grace), self.kill)

    def kill(self) -> None:
        """The grace is over."""
        if self._over:
            return
        self._signal(int(signal.SIGKILL))
        faults.done("stop:killed")
        self.killed()

    def killed(self) -> None:
        """SIGKILL was sent."""
        self._after(KILL_GRACE, self._kill_all)

    def _kill_all(self) -> None:
        running = self._container.running
        if self._over or running is None:
            return
        with contextlib.suppress(OSError):
            running.kill_all()
        self._after(GIVE_UP, self._give_up)

    def _give_up(self) -> None:
        if not self._over:
            words = f"{self._failed}tried to kill container, but did not receive an exit event"
            fail(self._finished, Internal(words))

    def _after(self, seconds: float, work: Callable[[], object]) -> None:
        if not self._over:
            self._timer = self._engine.loop.after(seconds, work)

    def _signal(self, number: int) -> bool:
        return send_signal(self._engine, self._container, number)

    def ended(self, _: object) -> None:
        """The run is over and recorded."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._event:
            publish_container_event(self._engine, self._container.record, self._event)
        resolve(self._finished)


def send_signal(engine: Engine, container: Container, number: int) -> bool:
    """Signal the first process, thawing it when it could not hear; the event tells it. False when it has gone."""
    with container.lock:
        running = container.running
        if running is None:
            return False
        try:
            running.signal(number)
            thaw(engine, container)
        except (OSError, WharfError) as error:
            log.debug("signal %d to container %s: %s", number, container.id, error)
            return False
    publish_container_event(engine, container.record, "kill", signal=str(number))
    return True


def thaw(engine: Engine, container: Container) -> None:
    """Under the lock: let a frozen container hear the signal it was sent; OSError when that fails.

    A commit that holds it still loses its hold: as in Docker, who stops a container does not wait for one.
    """
    record, running = container.record, container.running
    if running is None or not (record.state.paused or running in container.held):
        return
    running.resume()
    if not record.state.paused:
        return
    record.state.paused = False
    watch_health(engine, container)
    store(engine, record, "the thaw")
