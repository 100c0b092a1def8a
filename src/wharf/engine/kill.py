"""Send a signal to a container's first process; SIGKILL waits for the end."""

from __future__ import annotations

import contextlib
import signal as signals
from concurrent.futures import Future
from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_container_event
from wharf.engine.exit import cancel_restart
from wharf.engine.loop import done, resolve
from wharf.engine.signals import known_signal, parse_signal
from wharf.engine.stop import stop_signal
from wharf.errors import Conflict, Invalid, NotFound
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def kill_container(engine: Engine, name: str, signal: str = "") -> Future[None]:
    """The future resolves at once, for SIGKILL when the container has ended. Raises NotFound, Invalid, Conflict."""
    try:
        container = engine.containers.live(name)
        number = parse_signal(signal) if signal else int(signals.SIGKILL)
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
        except (ProcessLookupError, OSError):
            raise Conflict(f"cannot kill container: {name}: container {container.id} is not running") from None
        if record.state.paused and number in (signals.SIGKILL, stop_signal(container)):
            with contextlib.suppress(OSError):
                running.resume()
            record.state.paused = False
        engine.database.containers.put(record, durable=False)
        stopped = container.stopped
    publish_container_event(engine, record, "kill", signal=str(number))
    if number != signals.SIGKILL:
        return done()
    finished: Future[None] = Future()
    stopped.add_done_callback(lambda _: resolve(finished))
    return finished
