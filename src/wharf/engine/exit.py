"""What follows when a container's first process ends: record, events, waiters, network, restart or removal."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from wharf.engine.container import Container, WaitResult
from wharf.engine.container_events import publish_container_event, publish_network_event, publish_volume_events
from wharf.engine.endpoints import forget
from wharf.engine.health import end_health
from wharf.engine.loop import resolve
from wharf.engine.restart_policy import next_delay, should_restart
from wharf.engine.storing import store
from wharf.engine.times import format_time, to_nanoseconds
from wharf.engine.volume_mounts import release
from wharf.errors import WharfError
from wharf.kernel import faults
from wharf.runtime.requests import ExitRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

log = logging.getLogger("wharf.engine")


def on_exit(engine: Engine, container: Container, running: Running, ended: ExitRecord) -> None:
    """From the supervisor's reader thread, which must not be kept: the work goes to the pool."""
    try:
        engine.loop.pool.submit(_guarded, engine, container, running, ended)
    except RuntimeError:  # the engine is closing; the next start reads the monitor's record
        return


def _guarded(engine: Engine, container: Container, running: Running, ended: ExitRecord) -> None:
    try:
        finish_run(engine, container, running, ended)
    except Exception:
        log.exception("the end of container %s could not be recorded", container.id)


def finish_run(engine: Engine, container: Container, running: Running | None, ended: ExitRecord) -> None:
    """Record the end of a run and do what it asks for; a run that was recorded already is left alone."""
    with container.lock:
        if container.running is not running:
            return
        record, state = container.record, container.record.state
        container.running = None
        end_health(container)
        restart = not engine.closing and should_restart(record, ended.code)
        state.paused, state.pid = False, 0
        state.running = state.restarting = restart
        state.exit_code, state.oom_killed = ended.code, ended.oom
        state.error = ended.reason
        state.finished_at = format_time(ended.finished_at or time.time_ns())
        faults.done("stop:ended")
        release_network(engine, container)
        faults.done("stop:network")
        release(engine, record)
        publish_volume_events(engine, record, "unmount")
        if restart:
            record.restart_count += 1
        store(engine, record, "the end")
        faults.done("stop:stored")
        if ended.oom:
            publish_container_event(engine, record, "oom")
        _publish_die(engine, container, ended)
        container.wake(WaitResult(ended.code, ended.reason), "next-exit", "not-running")
        stopped = container.stopped
        removes = record.host_config.auto_remove and not restart and not container.coming_back
        if restart:
            _schedule_restart(engine, container)
    # Outside the lock: those who wait go on with it.
    resolve(stopped)
    if removes:
        from wharf.engine.remove import remove_now

        remove_now(engine, container, volumes=True)


def release_network(engine: Engine, container: Container) -> None:
    """Give back address and ports, and tell it."""
    record = container.record
    endpoints, container.endpoints = container.endpoints, ()
    for endpoint in endpoints:
        engine.network.release(endpoint)
    publish_network_event(engine, record, "disconnect")
    forget(record)
    record.sandbox_id = ""


def _publish_die(engine: Engine, container: Container, ended: ExitRecord) -> None:
    started = to_nanoseconds(container.record.state.started_at) or 0
    seconds = max(0, (ended.finished_at or time.time_ns()) - started) // 10**9
    publish_container_event(engine, container.record, "die", exitCode=str(ended.code), execDuration=str(seconds))


def _schedule_restart(engine: Engine, container: Container) -> None:
    ran = time.monotonic() - container.started_monotonic
    container.restart_delay = next_delay(container.restart_delay, ran)
    container.restart_timer = engine.loop.after(container.restart_delay, lambda: _restart(engine, container))


def _restart(engine: Engine, container: Container) -> None:
    """The timer of a restart policy fired."""
    from wharf.engine.start import start_locked

    with container.lock:
        state = container.record.state
        container.restart_timer = None
        if not state.restarting or container.running is not None or engine.closing:
            return
        try:
            start_locked(engine, container)
        except Exception as error:
            unforeseen = not isinstance(error, WharfError)
            log.error("container %s does not restart: %s", container.id, error, exc_info=unforeseen)
            if should_restart(container.record, state.exit_code):
                state.running = state.restarting = True
                container.record.restart_count += 1
                _schedule_restart(engine, container)
                store(engine, container.record, "the failed restart")
            else:
                container.wake(WaitResult(state.exit_code, str(error)), "next-exit", "not-running")


def cancel_restart(engine: Engine, container: Container) -> None:
    """Stop waiting for a restart, under the lock: the container is stopped now."""
    state = container.record.state
    timer, container.restart_timer = container.restart_timer, None
    if timer is not None:
        timer.cancel()
    state.running = state.restarting = False
    store(engine, container.record, "the end of the restarts")
