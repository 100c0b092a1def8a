"""Containers: records without files, files without records, monitors that nobody answers for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from wharf.engine.check_running import check_running
from wharf.engine.container import Container
from wharf.engine.image_mounts import container_of, views_of
from wharf.engine.mend_layers import mend_below
from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Found = tuple[Finding, Callable[[], object] | None]


def check_containers(engine: Engine) -> list[Found]:
    """See the module."""
    found: list[Found] = []
    # The host first, the records after: what is made meanwhile has its record, or its name, by then.
    keys = list(filter(container_of, engine.snapshots.keys()))
    directories = os.listdir(os.path.join(engine.config.data_root, "containers"))
    monitors, foreign = engine.supervisor.live(), engine.supervisor.foreign()
    known = engine.containers.known()
    for container in engine.containers:
        if container.lock.acquire(blocking=False):
            try:
                found += _check_record(engine, container)
            finally:
                container.lock.release()
    for key in (key for key in keys if container_of(key) not in known):
        if key in set(engine.snapshots.keys()):
            found.append((Finding("snapshot", key, "no container has it"), partial(engine.snapshots.remove, key)))
    for name in set(directories) - known:
        path = engine.directory(name)
        if os.path.isdir(path):
            mend = partial(engine.trash.discard, path)
            found.append((Finding("container files", name, "there is no such container"), mend))
    for name in set(monitors) - known:
        if name in engine.supervisor.live():
            mend = partial(engine.supervisor.forget, name)
            found.append((Finding("monitor", name, "there is no such container"), mend))
    for name in set(foreign) - known:
        if name in engine.supervisor.foreign():
            mend = partial(engine.supervisor.forget, name)
            found.append((Finding("runtime state", name, "there is no such container"), mend))
    return found


def _check_record(engine: Engine, container: Container) -> Iterator[Found]:
    record, running = container.record, container.running
    if record.state.removal_in_progress:
        return
    snapshots = {record.id, *views_of(record)}
    if not snapshots <= set(engine.snapshots.keys()):
        yield Finding("container", record.id, "its files are gone: remove it", safe=False), None
    for key in sorted(snapshots & set(engine.snapshots.keys())):
        if missing := engine.snapshots.missing_below(key):
            yield (
                Finding("container", record.id, f"what it stands on is gone: {missing}"),
                partial(mend_below, engine, key),
            )
    for mount in record.mounts:
        if mount.type == "volume" and mount.source and not os.path.isdir(mount.source):
            yield Finding("container", record.id, f"its volume {mount.name} is gone: remove it", safe=False), None
    has_state = record.id in engine.supervisor.live()
    if running is None and has_state:
        forget = partial(engine.supervisor.forget, record.id)
        yield Finding("monitor", record.id, "its container does not run"), forget
    elif running is not None and not has_state and not running.over():
        yield Finding("monitor", record.id, "it left no state: a later wharfd cannot find it", safe=False), None
    if running is None and record.id in engine.supervisor.foreign():
        forget = partial(engine.supervisor.forget, record.id)
        yield Finding("runtime state", record.id, "its container does not run"), forget
    yield from check_running(engine, container)
