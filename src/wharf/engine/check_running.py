"""Containers that run, or are said to: the record against what runs, its row, the freezer and the monitors of execs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.engine.exit import finish_run
from wharf.runtime.requests import ExitRecord
from wharf.spec.container import ContainerRecord
from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Found = tuple[Finding, Callable[[], object] | None]
NOTHING_RAN = "nothing of it ran any more when the system was checked"


def check_running(engine: Engine, container: Container) -> Iterator[Found]:
    """Under the container's lock."""
    record, running = container.record, container.running
    state, kind = record.state, "container"
    if running is None and state.running and not state.restarting:
        yield (
            Finding(kind, record.id, "its record says that it runs, and nothing does"),
            partial(_end, engine, container),
        )
    if running is not None and not running.over():
        agree = partial(_agree, engine, container)
        if not state.running:
            yield Finding(kind, record.id, "it runs, and its record does not say so"), agree
        elif not container.held and running.paused() != state.paused:
            said = (
                "is paused, and its processes are not frozen" if state.paused else "runs, and its processes are frozen"
            )
            yield Finding(kind, record.id, f"its record says that it {said}"), agree
        for name in engine.supervisor.dead_execs(record.id):
            forget = partial(engine.supervisor.forget_exec, record.id, name)
            yield Finding("monitor", f"{record.id}/{name}", "it is dead, and its files are still there"), forget
    yield from _check_row(engine, record)


def _check_row(engine: Engine, record: ContainerRecord) -> Iterator[Found]:
    stored = engine.database.containers.get(record.id)
    put = partial(engine.database.containers.put, record)
    if stored is None:
        yield Finding("container", record.id, "it has no row in the database"), put
    elif _essence(stored) != _essence(record):
        yield Finding("container", record.id, "its row in the database says something else"), put


def _essence(record: ContainerRecord) -> tuple[object, ...]:
    """What is stored at once whenever it changes."""
    state = record.state
    made = record.name, record.image_id, record.config, record.host_config, record.mounts
    return *made, state.running, state.paused, state.restarting, state.pid


def _end(engine: Engine, container: Container) -> None:
    with container.lock:
        if container.record.state.running and not container.record.state.restarting:
            finish_run(engine, container, None, ExitRecord(137, 9, False, time.time_ns(), NOTHING_RAN))


def _agree(engine: Engine, container: Container) -> None:
    """The record says what the host shows."""
    with container.lock:
        running, state = container.running, container.record.state
        if running is None or running.over() or container.held:
            return
        state.running, state.restarting, state.paused = True, False, running.paused()
        state.pid, state.start_time, state.boot_id = running.pid, running.start_time, engine.host.boot_id
        engine.database.containers.put(container.record, durable=False)
