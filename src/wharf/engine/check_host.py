"""The host: cgroups and mounts of this instance that nothing stands behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wharf.kernel.cgroup import open_cgroup
from wharf.kernel.mounts import MNT_DETACH, umount
from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Found = tuple[Finding, Callable[[], object] | None]


def check_cgroups(engine: Engine) -> list[Found]:
    """Cgroups named after a container that does not run."""
    names: set[str] = set()
    for root in engine.host.cgroup_mounts.values():
        parent = root + os.path.dirname(engine.cgroup_path("x"))
        if os.path.isdir(parent):
            names |= {entry.name for entry in os.scandir(parent) if len(entry.name) == 64 and entry.is_dir()}
    return [
        (Finding("cgroup", engine.cgroup_path(name), "no container runs in it"), partial(_remove, engine, name))
        for name in sorted(names)
        if _is_stale(engine, name)
    ]


def _is_stale(engine: Engine, name: str) -> bool:
    roots = engine.host.cgroup_mounts.values()
    container = next((item for item in engine.containers if item.id == name), None)
    if container is None:
        return name not in engine.containers.known() and any(os.path.isdir(r + engine.cgroup_path(name)) for r in roots)
    if not container.lock.acquire(blocking=False):
        return False  # it starts or ends just now
    try:
        return container.running is None and any(os.path.isdir(root + engine.cgroup_path(name)) for root in roots)
    finally:
        container.lock.release()


def _remove(engine: Engine, name: str) -> None:
    cgroup = open_cgroup(engine.host.cgroup_mounts, engine.cgroup_path(name))
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
