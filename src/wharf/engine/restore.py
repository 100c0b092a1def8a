"""At start: find every container in its true state, whatever the engine was doing when it ended.

record says         the host says                        then
running             its monitor answers                  adopted, as if nothing had happened
running, not paused its cgroup is frozen                 thawed: a commit that was cut had it held still
running             its monitor lives, but is silent     adopted as it was recorded: its disk may be slow
running             the monitor left an exit record      ended with that code
running             neither, in another boot             ended with 137: the machine was restarted
running             neither (kill)                       cgroup killed, ended with 137 and the reason
not running         a monitor answers                    a start that was not recorded: adopted as running
removing            -                                    removed
auto-remove, ended  -                                    removed
no record           snapshot, directory, monitor state   removed: a create or removal that was cut
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from wharf.engine.container import Container, LiveExec
from wharf.engine.endpoints import endpoints_of, forget
from wharf.engine.exec_start import on_exec_exit
from wharf.engine.exit import on_exit
from wharf.engine.health import watch_health
from wharf.engine.image_mounts import container_of
from wharf.engine.links import needed_first, open_links
from wharf.engine.networks_connect import mend
from wharf.engine.remove import discard, remove_now
from wharf.engine.restart_policy import restarts_with_daemon, should_restart
from wharf.engine.shipping import drain_rest, resume_shipping
from wharf.engine.start import start_locked
from wharf.engine.times import format_time
from wharf.errors import WharfError
from wharf.runtime.requests import ExitRecord
from wharf.spec.container import ZERO_TIME, ContainerRecord
from wharf.spec.health import UNHEALTHY
from wharf.spec.network import Endpoint

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

LOST = "the container ended while the engine was not running, and left no record"
REBOOTED = "the machine was restarted while the container ran"
log = logging.getLogger("wharf.engine")


def restore_containers(engine: Engine) -> list[Endpoint]:
    """Take over what runs, record what ended; the endpoints of what runs. Nothing is restarted or removed yet."""
    records = engine.database.containers.all()
    for key in engine.database.containers.damaged:  # a row that cannot be read is left alone, with all that is its
        engine.containers.reserve(key, key)
    _drop_strangers(engine, set(engine.database.containers.keys()))
    endpoints: list[Endpoint] = []
    for record in records:
        container = Container(record)
        engine.containers.add(container)
        endpoints += _restore(engine, container)
    _restore_execs(engine)
    return endpoints


def _restore(engine: Engine, container: Container) -> tuple[Endpoint, ...]:
    record = container.record
    running = engine.supervisor.adopt(record.id)
    if running is None:
        if record.state.running:
            _ended_meanwhile(engine, record)
        else:
            # A start that was cut before `go` has left its address in the record.
            if endpoints_of(record):
                log.warning("start-up: container %s: its start was cut, its address is given back", record.id)
            forget(record)
            engine.supervisor.forget(record.id)
        return ()
    state = record.state
    if not state.running or state.pid != running.pid:
        # The start was not recorded in time: its beginning is the process's.
        log.warning("start-up: container %s runs although its start was not recorded: taken over", record.id)
        state.started_at = format_time(time.time_ns())
    state.running, state.restarting = True, False
    state.pid, state.start_time, state.boot_id = running.pid, running.start_time, engine.host.boot_id
    state.paused = _still_paused(record, running)
    container.running = running
    container.started_monotonic = time.monotonic()
    container.endpoints = tuple(endpoints_of(record))
    engine.database.containers.put(record, durable=False)
    return container.endpoints


def _still_paused(record: ContainerRecord, running: Running) -> bool:
    """Whether its user has it paused. What is frozen and not recorded so is thawed: a commit held it still, or a pause
    was cut before it was recorded."""
    if running.paused() and not record.state.paused:
        log.warning("start-up: container %s was frozen, and nobody had paused it: it is thawed", record.id)
        with contextlib.suppress(OSError):
            running.resume()
    return running.paused()


def _ended_meanwhile(engine: Engine, record: ContainerRecord) -> None:
    state = record.state
    ended = engine.supervisor.exit_record(record.id)
    engine.supervisor.forget(record.id)
    if ended is None and state.restarting:
        ended = ExitRecord(state.exit_code, finished_at=0)
    if ended is None:
        rebooted = state.boot_id not in ("", engine.host.boot_id)
        ended = ExitRecord(137, 9, False, time.time_ns(), REBOOTED if rebooted else LOST)
    reason = f" ({ended.reason})" if ended.reason else ""
    log.info("start-up: container %s ended meanwhile with %d%s", record.id, ended.code, reason)
    restart = should_restart(record, ended.code)
    state.running = state.restarting = state.paused = False
    state.pid, state.exit_code, state.oom_killed, state.error = 0, ended.code, ended.oom, ended.reason
    if ended.finished_at:
        state.finished_at = format_time(ended.finished_at)
    if state.health is not None:
        state.health.status = UNHEALTHY
    if restart:
        record.restart_count += 1
    forget(record)
    record.sandbox_id = ""
    engine.database.containers.put(record, durable=False)


def _restore_execs(engine: Engine) -> None:
    for record in engine.database.execs.all():
        try:
            container = engine.containers.live(record.container_id)
        except WharfError:
            engine.database.execs.delete(record.id, durable=False)
            continue
        running = engine.supervisor.adopt_exec(record.container_id, record.id) if record.running else None
        if running is None:
            # Nobody waits for it any more: its client's stream was cut.
            engine.database.execs.delete(record.id, durable=False)
            continue
        if record.probe:  # nobody asked for it, and the next check of its container comes in any case
            with contextlib.suppress(OSError):
                running.signal(signal.SIGKILL)
            engine.database.execs.delete(record.id, durable=False)
            continue
        item = LiveExec(record)
        item.started, item.running = True, running
        engine.containers.add_exec(container, item)
        _watch_exec(engine, container, item)


def _watch_exec(engine: Engine, container: Container, item: LiveExec) -> None:
    assert item.running is not None
    item.running.on_exit(lambda ended: on_exec_exit(engine, container, item, ended))


def _drop_strangers(engine: Engine, known: set[str]) -> None:
    """What has no record: its create or its removal was cut."""
    keys = list(filter(container_of, engine.snapshots.keys()))
    strangers = set(engine.supervisor.live()) | set(map(container_of, keys))
    base = os.path.join(engine.config.data_root, "containers")
    if os.path.isdir(base):
        strangers |= set(os.listdir(base))
    for container_id in strangers - known:
        running = engine.supervisor.adopt(container_id)
        if running is not None:
            running.kill_all()
            running.wait(10.0)
        try:
            discard(engine, container_id, [key for key in keys if container_of(key) == container_id])
            log.warning("start-up: container %s has no record: removed what its create or removal left", container_id)
        except (OSError, WharfError) as error:
            log.warning("leftovers of container %s stay: %s", container_id, error)


def restart_after_open(engine: Engine) -> None:
    """Listen for the ends of what runs; finish removals that were begun or are due, and start what its policy wants,
    in the background. Not before the network knows the endpoints: an end gives them back."""
    wanted: list[Container] = []
    for container in engine.containers:
        _mend_networks(engine, container)
        _watch(engine, container)
        _open_links(engine, container)
        record, state = container.record, container.record.state
        ended = state.started_at != ZERO_TIME or state.error
        if state.removal_in_progress or (record.host_config.auto_remove and not state.running and ended):
            log.info("start-up: container %s: its removal is finished now", record.id)
            state.removal_in_progress = False
            engine.loop.pool.submit(remove_now, engine, container, _takes_volumes(record))
            continue
        if not state.running:
            drain_rest(engine, container)
        if not state.running and ended and _wants_start(record):
            wanted.append(container)
    begun: dict[str, Future[None]] = {}
    for container in _in_order(wanted):
        first = [begun[other] for other in needed_first(container.record) if other in begun]
        begun[container.id] = engine.loop.pool.submit(_quietly_start, engine, container, first)


def _in_order(containers: Iterable[Container]) -> Iterator[Container]:
    """Those that others need before those that need them; a ring is cut somewhere."""
    waiting = {container.id: container for container in containers}
    seen, placed = set[str](), set[str]()
    for container in waiting.values():
        stack = [container]
        while stack:
            current = stack[-1]
            if current.id not in seen:
                seen.add(current.id)
                needed = needed_first(current.record)
                stack += [waiting[other] for other in needed if other in waiting and other not in seen]
                continue
            stack.pop()
            if current.id not in placed:
                placed.add(current.id)
                yield current


def _mend_networks(engine: Engine, container: Container) -> None:
    try:
        mend(engine, container)
    except (WharfError, OSError) as error:
        log.warning("start-up: container %s: a change of its networks cannot be mended: %s", container.id, error)


def _open_links(engine: Engine, container: Container) -> None:
    try:
        if container.record.state.running:
            open_links(engine, container.record)
    except WharfError as error:
        log.warning("start-up: container %s: %s", container.id, error.message)


def _watch(engine: Engine, container: Container) -> None:
    running = container.running
    if running is not None:
        with container.lock:
            watch_health(engine, container)
        resume_shipping(engine, container, running)
        running.on_exit(lambda ended: on_exit(engine, container, running, ended))


def _wants_start(record: ContainerRecord) -> bool:
    failed = record.host_config.restart_policy.name == "on-failure" and record.state.exit_code != 0
    return restarts_with_daemon(record) or (failed and should_restart(record, record.state.exit_code))


def _takes_volumes(record: ContainerRecord) -> bool:
    return record.remove_volumes or record.host_config.auto_remove


def _quietly_start(engine: Engine, container: Container, first: Iterable[Future[None]]) -> None:
    """Start once these are done: they were handed to the pool before, so they run even where it has one thread."""
    wait(first)
    with container.lock:
        if container.record.state.running or container.record.state.removal_in_progress:
            return
        try:
            start_locked(engine, container)
        except WharfError as error:
            log.warning("container %s does not start: %s", container.id, error.message)
