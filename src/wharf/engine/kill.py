"""Send a signal to a container's first process; SIGKILL waits for the end."""

from __future__ import annotations

import logging
import signal as signals
from concurrent.futures import Future
from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.engine.exit import cancel_restart
from wharf.engine.loop import done
from wharf.engine.signals import known_signal, parse_signal
from wharf.engine.stop import await_kill, stop_signal, thaw
from wharf.engine.storing import store
from wharf.errors import Conflict, Invalid, NotFound
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")


def kill_container(engine: Engine, name: str, signal: str = "") -> Future[None]:
    """The future resolves at once, for SIGKILL when the container has ended; it fails with Internal when it does not.

    Raises NotFound, Invalid, Conflict.
    """
    try:
        number = parse_signal(signal) if signal else int(signals.SIGKILL)
        container = engine.containers.live(name)
        if not known_signal(number):
            raise Invalid(f"the linux daemon does not support signal {number}")
    except (Invalid, NotFound) as error:
        raise type(error)(f"cannot kill container: {name}: {error.message}") from None
    with container.lock:
        record = container.record
        container.require(Verb.KILL, name)
        if number in (signals.SIGKILL, stop_signal(container)):
            record.manually_stopped = True
        running = container.running
        if running is None:
            cancel_restart(engine, container)
            return done()
        try:
            running.signal(number)
        except OSError:
            raise Conflict(f"cannot kill container: {name}: container {container.id} is not running") from None
        if number in (signals.SIGKILL, stop_signal(container)):
            try:
                thaw(engine, container)
            except OSError as error:  # it is paused still, and the kill waits for the whole cgroup's
                log.warning("container %s was sent signal %d and does not thaw: %s", container.id, number, error)
        store(engine, record, "a signal")
        publish_container_event(engine, record, "kill", signal=str(number))
        if number != signals.SIGKILL:
            return done()
        return await_kill(engine, container, f"cannot kill container: {name}: ")
