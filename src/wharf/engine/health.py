"""Health checks of the containers that run: one timer each on the loop, and a probe when it fires.

start, unpause, restore -> waits -> probes -> waits …        pause, end -> no more
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.engine.container_events import publish_container_event
from wharf.engine.heal import heal
from wharf.engine.health_probe import Probe
from wharf.engine.health_rules import Plan, after, plan_of
from wharf.engine.loop import Timer
from wharf.engine.storing import store
from wharf.engine.times import to_nanoseconds
from wharf.errors import WharfError
from wharf.spec.health import STARTING, UNHEALTHY, Health, ProbeResult

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

log = logging.getLogger("wharf.engine")


class HealthWatch:
    """The checks of one run of a container, until `stop`."""

    def __init__(self, engine: Engine, container: Container, plan: Plan, running: Running) -> None:
        self._engine, self._container, self._plan, self._running = engine, container, plan, running
        self._timer: Timer | None = None
        self._probe: Probe | None = None
        self._stopped = False

    def wait(self, spent: float = 0.0) -> None:
        """Probe after the interval, of which so many seconds are over already. Under the container's lock."""
        health = self._container.record.state.health or Health()
        delay = self._plan.delay(health.status, self._age(time.time_ns()))
        self._timer = self._engine.loop.after(max(0.0, delay - spent), self._due)

    def stop(self) -> None:
        """No more; a probe that runs is ended and its result dropped. Under the container's lock."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._probe is not None:
            self._probe.kill()

    def _age(self, now: int) -> float:
        return (now - (to_nanoseconds(self._container.record.state.started_at) or now)) / 1e9

    def _due(self) -> None:
        """The timer fired, in the pool. The lock: a start that is not told yet comes first."""
        with self._container.lock:
            if self._stopped or self._engine.closing:
                return
            self._probe = probe = Probe(self._engine, self._container, self._plan, self._probed)
        try:
            probe.begin(self._running)
        except WharfError as error:  # a full disk: the next one may have luck
            log.warning("health check of container %s: %s", self._container.id, error.message)
            self._probed(None, 0)

    def _probed(self, result: ProbeResult | None, began: int) -> None:
        container, changed = self._container, ""
        with container.lock:
            self._probe = None
            if self._stopped or self._engine.closing:
                return
            state = container.record.state
            if result is not None:
                before = state.health or Health()
                state.health = after(before, self._plan, result, self._age(began))
                changed = state.health.status if state.health.status != before.status else ""
                store(self._engine, container.record, "a health check")
            self.wait()
        if changed:
            publish_container_event(self._engine, container.record, f"health_status: {changed}")
        if changed == UNHEALTHY:
            heal(self._engine, container)


def begin_health(engine: Engine, container: Container) -> None:
    """A run begins, under the container's lock and before its record is stored: from `starting`."""
    state = container.record.state
    if plan_of(container.record.config) is None:
        state.health = None
        return
    state.health = Health(STARTING, 0, state.health.log if state.health else [])
    watch_health(engine, container)


def watch_health(engine: Engine, container: Container) -> None:
    """Go on with a container that runs already, under its lock: after a pause, or when wharfd was started again."""
    plan, state = plan_of(container.record.config), container.record.state
    if plan is None or container.running is None or state.paused:
        return
    state.health = state.health or Health()
    container.health = HealthWatch(engine, container, plan, container.running)
    last = to_nanoseconds(state.health.log[-1].end) if state.health.log else None
    since = max(last or 0, to_nanoseconds(state.started_at) or 0)
    container.health.wait(max(0.0, (time.time_ns() - since) / 1e9))


def end_health(container: Container) -> None:
    """A pause or an end, under the container's lock: as in Docker, who is not checked is unhealthy."""
    watch, container.health = container.health, None
    if watch is not None:
        watch.stop()
    if container.record.state.health is not None:
        container.record.state.health.status = UNHEALTHY
