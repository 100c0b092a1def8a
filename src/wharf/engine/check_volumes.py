"""Volumes: rows without data, data without rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wharf.engine.volume_mounts import mounted_at, unmount_unused
from wharf.engine.volume_options import needs_mount
from wharf.engine.volumes import ensure_volume
from wharf.errors import Invalid
from wharf.spec.finding import Finding
from wharf.spec.volume import check_volume_name

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def check_volumes(engine: Engine) -> list[tuple[Finding, Callable[[], object] | None]]:
    """See the module. Data is never deleted: it becomes a volume again."""
    found: list[tuple[Finding, Callable[[], object] | None]] = []
    with engine.database.transaction(durable=False):  # no volume is made meanwhile
        present = set(engine.volumes.names())
        recorded = set(engine.database.volumes.keys())
    for name in sorted(recorded - present):
        if _is_without_data(engine, name):
            found.append((Finding("volume", name, "its data is gone"), partial(_forget, engine, name)))
    for name in sorted(present - recorded):
        try:
            check_volume_name(name)
        except Invalid:
            found.append((Finding("volume", name, "a strange file among the volumes", safe=False), None))
            continue
        if engine.volumes.exists(name):
            found.append((Finding("volume", name, "its data has no record"), partial(ensure_volume, engine, name)))
    return found + _check_mounts(engine)


def _is_without_data(engine: Engine, name: str) -> bool:
    """A removal takes the data first: one that is under way is waited for, and then the transaction that the removal of
    a container may be. Not both at once: those take them in either order."""
    with engine.volume_holds.none_new(name):
        if engine.volumes.exists(name):
            return False
    with engine.database.transaction(durable=False):
        return not engine.volumes.exists(name) and engine.database.volumes.get(name) is not None


def _forget(engine: Engine, name: str) -> None:
    with engine.database.transaction():
        if not engine.volumes.exists(name):  # it may have been made anew
            engine.database.volumes.delete(name)


def _check_mounts(engine: Engine) -> list[tuple[Finding, Callable[[], object] | None]]:
    """What is mounted, and for whom: both from the kernel and the containers, not from our own count."""
    found: list[tuple[Finding, Callable[[], object] | None]] = []
    running = {
        point.name
        for container in engine.containers
        if container.running is not None
        for point in container.record.mounts
        if point.type == "volume"
    }
    for volume in engine.database.volumes.all():
        with engine.volume_mounts.of(volume.name) as users:  # nobody mounts or unmounts it meanwhile
            there = mounted_at(volume)
            counted = bool(users)
        if not needs_mount(volume):
            if there:
                text = "something is mounted in it that none of its options names"
                found.append((Finding("volume", volume.name, text, safe=False), None))
        elif there and not counted and volume.name not in running:
            mend = partial(unmount_unused, engine, volume)
            found.append((Finding("volume", volume.name, "it is mounted, and no container uses it"), mend))
        elif counted and not there:
            text = "containers use it, and it is not mounted: new ones get it mounted anew"
            found.append((Finding("volume", volume.name, text, safe=False), None))
    return found
