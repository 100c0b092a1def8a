"""Volumes of the local driver that are something to mount: mounted for the first user, unmounted after the last.

Users are containers that run and copies in progress. Nothing of it is stored: who runs is known after a restart, and
what is mounted is read from the kernel.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wharf.engine.volume_options import mount_of, needs_mount
from wharf.errors import Conflict, Internal, WharfError
from wharf.kernel.mountinfo import at_or_below, mounts_in_sight
from wharf.spec.container import ContainerRecord
from wharf.spec.volume import VolumeRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")


class VolumeMounts:
    """Volumes that are mounted, each with its users. One volume is mounted or unmounted by one thread at a time."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: dict[str, set[str]] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[set[str]]:
        """The users of a volume, to be read and changed by nobody else meanwhile."""
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            users = self._users.setdefault(name, set())
            try:
                yield users
            finally:
                if not users:
                    del self._users[name]


def hold(engine: Engine, record: ContainerRecord, undo: contextlib.ExitStack) -> None:
    """Mount a container's volumes as far as that is needed; `undo` lets go of them. Raises Internal."""
    for volume in _mounted_volumes(engine, record):
        undo.callback(_release, engine, volume, record.id)
        _hold(engine, volume, record.id)


def release(engine: Engine, record: ContainerRecord) -> None:
    """A container does not need its volumes any more; a volume that cannot be unmounted is told in the log."""
    for volume in _mounted_volumes(engine, record):
        _release(engine, volume, record.id)


@contextlib.contextmanager
def held(engine: Engine, record: ContainerRecord) -> Iterator[None]:
    """A container's volumes are mounted inside, for a copy into or out of one that does not run. Raises Internal."""
    with contextlib.ExitStack() as stack:
        user = f"copy:{secrets.token_hex(8)}"
        for volume in _mounted_volumes(engine, record):
            stack.callback(_release, engine, volume, user)
            _hold(engine, volume, user)
        yield


@contextlib.contextmanager
def volume_held(engine: Engine, volume: VolumeRecord) -> Iterator[None]:
    """One volume is mounted inside, if it is such a one. Raises Internal."""
    if not needs_mount(volume):
        yield
        return
    user = f"copy:{secrets.token_hex(8)}"
    try:
        _hold(engine, volume, user)
        yield
    finally:
        _release(engine, volume, user)


def unmount_unused(engine: Engine, volume: VolumeRecord) -> None:
    """Before a volume goes: nothing may stay mounted, or its contents would go too. Raises Conflict, OSError."""
    with engine.volume_mounts.of(volume.name) as users:
        if users:
            raise Conflict(f"remove {volume.name}: volume is in use - [{', '.join(sorted(users))}]")
        _unmount(engine, volume)


def restore_volume_mounts(engine: Engine) -> None:
    """At start, once containers are taken over: count those that run, unmount what none of them uses."""
    for container in engine.containers:
        if container.running is not None:
            for volume in _mounted_volumes(engine, container.record):
                with engine.volume_mounts.of(volume.name) as users:
                    users.add(container.id)
    for volume in engine.database.volumes.all():
        if not needs_mount(volume) or not mounted_at(volume):
            continue
        with engine.volume_mounts.of(volume.name) as users:
            if not users:
                log.warning("start-up: volume %s is unmounted: no container uses it", volume.name)
                _unmount_quietly(engine, volume)


def mounted_at(volume: VolumeRecord) -> list[str]:
    """Where something is mounted in a volume, the volume itself first."""
    return at_or_below(volume.mountpoint, mounts_in_sight())


def _mounted_volumes(engine: Engine, record: ContainerRecord) -> list[VolumeRecord]:
    names = {point.name for point in record.mounts if point.type == "volume" and point.name}
    found = [engine.database.volumes.get(name) for name in sorted(names)]
    return [volume for volume in found if volume is not None and needs_mount(volume)]


def _hold(engine: Engine, volume: VolumeRecord, user: str) -> None:
    with engine.volume_mounts.of(volume.name) as users:
        there = volume.mountpoint in mounted_at(volume)
        if there and not users:  # left by a failed unmount: what it shows may be another device's
            _unmount(engine, volume)
            there = False
        if not there:
            _mount(engine, volume)
        users.add(user)


def _mount(engine: Engine, volume: VolumeRecord) -> None:
    try:
        what = mount_of(volume)
        args = {"device": what.device, "kind": what.kind, "options": what.options, "target": volume.mountpoint}
        engine.worker.run("volume.mount", args)
    except WharfError as error:
        raise Internal(f"error while mounting volume '{volume.mountpoint}': {error.message}") from None


def _release(engine: Engine, volume: VolumeRecord, user: str) -> None:
    with engine.volume_mounts.of(volume.name) as users:
        if user not in users:
            return
        users.discard(user)
        if not users:
            _unmount_quietly(engine, volume)


def _unmount_quietly(engine: Engine, volume: VolumeRecord) -> None:
    try:
        _unmount(engine, volume)
    except (WharfError, OSError) as error:
        log.error("volume %s could not be unmounted: %s", volume.name, error)


def _unmount(engine: Engine, volume: VolumeRecord) -> None:
    """Take off everything at the volume, the newest first."""
    points = mounted_at(volume)
    if points:
        engine.worker.run("volume.unmount", {"points": points[::-1]})
