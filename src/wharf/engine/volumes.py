"""Volumes of the local driver: create, list, inspect, remove, prune; who uses one; copy-up into a new one."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, flag, labels_match, name_pattern
from wharf.engine.times import format_time
from wharf.engine.volume_mounts import unmount_unused, volume_held
from wharf.engine.volume_options import check_options, needs_mount
from wharf.errors import Conflict, Internal, Invalid, NotFound
from wharf.kernel import faults
from wharf.spec.container import ContainerRecord
from wharf.spec.mount import Mount
from wharf.spec.volume import (
    ANONYMOUS_LABEL,
    LOCAL_DRIVER,
    UsageData,
    Volume,
    VolumeCreate,
    VolumeList,
    VolumeRecord,
    VolumesPruneReport,
    check_volume_name,
)
from wharf.storage.metadata.codec import encode_value

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

LIST_FILTERS = ("dangling", "driver", "label", "name")
PRUNE_FILTERS = ("label", "label!", "all")
ALL_BY_DEFAULT_BEFORE = (1, 42)
"""API versions before this one prune named volumes too."""


def create_volume(engine: Engine, wanted: VolumeCreate) -> Volume:
    """A volume of that name, made unless it is there. Raises Invalid for a bad name or option, Conflict for a name
    that another driver has."""
    return ensure_volume(engine, wanted.name, wanted.driver, wanted.driver_opts, wanted.labels)


def ensure_volume(
    engine: Engine,
    name: str,
    driver: str = LOCAL_DRIVER,
    opts: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
) -> Volume:
    """As `create_volume`; an empty name makes an anonymous volume."""
    driver = driver or LOCAL_DRIVER
    if not name:
        name, labels = secrets.token_hex(32), {**(labels or {}), ANONYMOUS_LABEL: ""}
    check_volume_name(name)
    if driver != LOCAL_DRIVER:
        raise NotFound(f'create {name}: error looking up volume plugin {driver}: plugin "{driver}" not found')
    check_options(name, opts or {})
    with contextlib.ExitStack() as undo:
        with engine.database.transaction():
            known = engine.database.volumes.get(name)
            if known is None:
                if not engine.volumes.exists(name):
                    undo.callback(engine.volumes.remove, name)  # a full disk may take the directory, but not the row
                record = VolumeRecord(
                    name=name,
                    mountpoint=engine.volumes.create(name),
                    created=format_time(int(time.time()) * 10**9),
                    options=opts or None,
                    labels=labels or None,
                )
                faults.done("volume-create:data")
                engine.database.volumes.put(record)
        undo.pop_all()
    if known is None:
        faults.done("volume-create:recorded")
        engine.events.publish("volume", "create", name, {"driver": record.driver})
        return _view(record)
    if known.driver != driver:
        raise Conflict(f"create {name}: conflict: volume name must be unique")
    return _view(known)


def list_volumes(engine: Engine, filters: Filters) -> VolumeList:
    """Volumes that pass every filter, by name. Raises Invalid for an unknown filter."""
    check_filters(filters, LIST_FILTERS)
    records = engine.database.volumes.all()
    if "dangling" in filters:
        wanted, used = flag(filters, "dangling", False), _used(engine)
        records = [record for record in records if (record.name not in used) == wanted]
    if names := filters.get("name"):
        patterns = [name_pattern(text) for text in names]
        records = [record for record in records if any(pattern.search(record.name) for pattern in patterns)]
    if drivers := filters.get("driver"):
        records = [record for record in records if record.driver in drivers]
    return VolumeList([_view(record) for record in records if labels_match(filters, record.labels)])


def inspect_volume(engine: Engine, name: str) -> Volume:
    """One volume; raises NotFound `get x: no such volume`."""
    return _view(_find(engine, name))


def remove_volume(engine: Engine, name: str, *, force: bool = False) -> None:
    """Delete a volume and its data. Raises NotFound (not with `force`), Conflict while a container has it."""
    try:
        record = _find(engine, name)
    except NotFound:
        if force:
            return
        raise
    _remove(engine, record)


def prune_volumes(engine: Engine, filters: Filters, *, api_version: Any = (1, 51)) -> VolumesPruneReport:
    """Delete unused anonymous volumes, or all unused ones with `all`. Raises Invalid for a bad filter."""
    check_filters(filters, PRUNE_FILTERS)
    everything = flag(filters, "all", tuple(api_version) < ALL_BY_DEFAULT_BEFORE)
    report = VolumesPruneReport([])
    used = _used(engine)
    for record in engine.database.volumes.all():
        if record.name in used or record.options or not (everything or record.anonymous):
            continue  # what an option names is not the engine's to clear away
        if not labels_match(filters, record.labels):
            continue
        size = engine.volumes.usage(record.name)
        try:
            _remove(engine, record)
        except Conflict:
            continue  # a container took it meanwhile
        assert report.volumes_deleted is not None
        report.volumes_deleted.append(record.name)
        report.space_reclaimed += size
    engine.events.publish("volume", "prune", "", {"reclaimed": str(report.space_reclaimed)})
    return report


def users(engine: Engine, name: str) -> list[str]:
    """Ids of the containers, running or not or still in the making, that have the volume."""
    held = engine.volume_holds.of(name)  # asked first: a container that is made meanwhile is then among the others
    return held + [
        record.id
        for record in engine.containers.all()
        if record.id not in held and any(mount.type == "volume" and mount.name == name for mount in record.mounts)
    ]


def remove_anonymous(engine: Engine, record: ContainerRecord) -> None:
    """Delete the anonymous volumes of a container that is gone, unless another one has them too."""
    for mount in record.mounts:
        volume = engine.database.volumes.get(mount.name) if mount.type == "volume" and mount.name else None
        if volume is None or not volume.anonymous:
            continue
        with engine.volume_holds.none_new(volume.name):
            if not [user for user in users(engine, volume.name) if user != record.id]:
                _delete(engine, volume)


def populate(engine: Engine, image_mounts: Sequence[Mount], image_path: str, name: str) -> None:
    """Fill an empty volume with what the image has at `image_path`: contents, owners, modes, xattrs.

    All of it is there afterwards, or nothing. Nothing happens when the volume has anything in it or the image has no
    such directory. Raises Internal when what the volume's options name cannot be mounted.
    """
    target = engine.volumes.path(name)
    args = {"mounts": [encode_value(mount) for mount in image_mounts], "path": image_path, "target": target}
    record = _find(engine, name)
    if not needs_mount(record):
        with engine.volumes.filling(name) as fill:
            if fill is None:
                return
            result = engine.worker.run("archive.copyup", {**args, "target": fill.begin()}, ())
            if result["copied"] and not fill.commit():
                engine.worker.run("archive.copyup", args, ())
        return
    try:
        engine.worker.run("archive.stat", {**args, "container": ""}, ())
    except NotFound:
        return  # Docker mounts nothing then
    try:
        with volume_held(engine, record):
            engine.worker.run("archive.copyup", args, ())
    except Internal as error:
        raise Internal(f"failed to populate volume: {error.message}") from None


def restore_volumes(engine: Engine) -> None:
    """At start: finish what a crash cut off. Data is never deleted; a directory with some becomes a volume again."""
    engine.volumes.recover()
    present = set(engine.volumes.names())
    recorded = set(engine.database.volumes.keys())
    for name in recorded - present:
        engine.database.volumes.delete(name)
    for name in present - recorded:
        try:
            path = engine.volumes.path(name)
        except (Invalid, NotFound):
            continue  # not ours
        if not os.listdir(path):
            engine.volumes.remove(name)  # its creation was never acknowledged
        else:
            ensure_volume(engine, name)


def with_usage(engine: Engine, record: VolumeRecord) -> Volume:
    """The volume with its size in bytes and number of users; -1 for one whose data was removed meanwhile."""
    view = _view(record)
    try:
        size = engine.volumes.usage(record.name)
    except NotFound:
        size = -1
    view.usage_data = UsageData(size, len(users(engine, record.name)))
    return view


def _find(engine: Engine, name: str) -> VolumeRecord:
    record = engine.database.volumes.get(name)
    if record is None:
        raise NotFound(f"get {name}: no such volume")
    return record


def _remove(engine: Engine, record: VolumeRecord) -> None:
    with engine.volume_holds.none_new(record.name):
        holders = users(engine, record.name)
        if holders:
            raise Conflict(f"remove {record.name}: volume is in use - [{', '.join(holders)}]")
        _delete(engine, record)


def _delete(engine: Engine, record: VolumeRecord) -> None:
    if needs_mount(record):
        unmount_unused(engine, record)
    # The data first, by one rename: `restore_volumes` drops a row without data, but adopts data without a row.
    engine.volumes.remove(record.name)
    faults.done("volume-remove:data")
    engine.database.volumes.delete(record.name)
    faults.done("volume-remove:recorded")
    engine.events.publish("volume", "destroy", record.name, {"driver": record.driver})


def _used(engine: Engine) -> set[str]:
    return {mount.name for item in engine.containers.all() for mount in item.mounts if mount.type == "volume"}


def _view(record: VolumeRecord) -> Volume:
    return Volume(
        created_at=record.created,
        driver=record.driver,
        labels=record.labels,
        mountpoint=record.mountpoint,
        name=record.name,
        options=record.options,
    )
