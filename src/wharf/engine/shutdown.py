"""The end of an engine that takes its containers with it, as dockerd does without live restore.

With it the containers go on, unless the whole machine goes down: then they are stopped in order, with their grace,
while their mounts and the network are there still.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future
from concurrent.futures import wait as wait_all
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.engine.exit import cancel_restart
from wharf.engine.stop import begin_stop
from wharf.runtime import scopes

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MARGIN = 5.0
"""Seconds beyond the grace until the last SIGKILL has worked."""


def takes_containers(engine: Engine) -> bool:
    """Whether the end of this engine is the end of its containers."""
    return not engine.config.live_restore or scopes.machine_stops()


def stop_all(engine: Engine) -> None:
    """Stop all that runs, together, within `shutdown_timeout` seconds and a margin."""
    deadline = time.monotonic() + max(0, engine.config.shutdown_timeout) + MARGIN
    pending = [future for container in engine.containers if (future := _stop(engine, container)) is not None]
    wait_all(pending, timeout=max(0.0, deadline - time.monotonic()))
    for container in engine.containers:
        running = container.running
        if running is not None:
            with contextlib.suppress(OSError):
                running.kill_all()


def _stop(engine: Engine, container: Container) -> Future[None] | None:
    with container.lock:
        record = container.record
        if not record.state.running:
            return None
        if container.running is None:
            cancel_restart(engine, container)
            return None
        by_hand = record.manually_stopped
        grace = record.config.stop_timeout
        limit = engine.config.shutdown_timeout
        stopped = begin_stop(engine, container, min(grace, limit) if grace is not None else min(10, limit), None)
        # Stopped by the daemon, not by its user: `unless-stopped` starts it again with the daemon.
        record.manually_stopped = by_hand
        engine.database.containers.put(record, durable=False)
        return stopped
