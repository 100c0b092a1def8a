"""The host: cgroups and mounts of this instance that nothing stands behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wharf.engine.container import Container
from wharf.kernel.cgroup import open_cgroup
from wharf.kernel.mounts import MNT_DETACH, umount
from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

_ID_LENGTH = 64
Found = tuple[Finding, Callable[[], object] | None]


def check_cgroups(engine: Engine) -> list[Found]:
    """Cgroups of containers that do not run, wherever their parent is, and of none in the parent that is ours alone."""
    stale = [path for container in engine.containers if (path := _left_by(engine, container))] + _strangers(engine)
    return [(Finding("cgroup", path, "no container runs in it"), partial(_remove, engine, path)) for path in stale]


def _exists(engine: Engine, path: str) -> bool:
    return any(os.path.isdir(root + path) for root in engine.host.cgroup_mounts.values())


def _left_by(engine: Engine, container: Container) -> str:
    if not container.lock.acquire(blocking=False):
        return ""  # it starts or ends just now
    try:
        path = engine.cgroup_path(container.id, container.record.host_config.cgroup_parent)
        return path if container.running is None and _exists(engine, path) else ""
    finally:
        container.lock.release()


def _strangers(engine: Engine) -> list[str]:
    """Where others may have containers too (--cgroup-parent) nobody can tell whose one of an unknown container is."""
    parent, pattern = os.path.split(engine.cgroup_path("?"))
    head, tail = pattern.split("?")  # systemd's scopes have the instance in their name
    size = len(head) + _ID_LENGTH + len(tail)
    ids: set[str] = set()
    for root in engine.host.cgroup_mounts.values():
        if os.path.isdir(root + parent):
            names = [entry.name for entry in os.scandir(root + parent) if entry.is_dir()]
            ids |= {
                name[len(head) : size - len(tail)]
                for name in names
                if len(name) == size and name.startswith(head) and name.endswith(tail)
            }
    paths = [engine.cgroup_path(name) for name in sorted(ids - engine.containers.known())]
    return [path for path in paths if _exists(engine, path)]


def _remove(engine: Engine, path: str) -> None:
    cgroup = open_cgroup(engine.host.cgroup_mounts, path)
    cgroup.kill()
    cgroup.remove()


def check_mounts(engine: Engine) -> list[Found]:
    """Mounts in our own mount namespace where there is never one: containers mount in theirs."""
    places = [os.path.join(engine.config.data_root, name) for name in ("snapshots/active", "snapshots/committed")]
    places.append(os.path.join(engine.config.exec_root, "root"))
    real = [os.path.realpath(place) for place in places]
    found: list[Found] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        points = [line.split()[4].replace("\\040", " ") for line in lines]
    for point in reversed(points):  # the last mounted goes first
        if any(point == place or point.startswith(place + "/") for place in real):
            mend = partial(umount, point, MNT_DETACH)
            found.append((Finding("mount", point, "nothing of this engine mounts here"), mend))
    return found
