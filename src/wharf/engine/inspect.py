"""Everything about one container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from wharf.engine.disk_usage import container_size
from wharf.engine.views import network_settings, state_view
from wharf.spec.container import ZERO_TIME, ContainerRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILES = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}


def inspect_container(engine: Engine, name: str, size: bool = False) -> dict[str, Any]:
    """Docker's inspect document; `size` measures the container's own files. Raises NotFound, Invalid (ambiguous)."""
    container = engine.containers.live(name)
    record = container.record
    execs = [exec_id for exec_id, item in list(container.execs.items()) if item.record.running]
    out: dict[str, Any] = {
        "Id": record.id,
        "Created": record.created,
        "Path": record.path,
        "Args": record.args,
        "State": state_view(record),
        "Image": record.image_id,
        **_paths(engine, record),
        "LogPath": record.log_path if _started(record) else "",
        "Name": "/" + record.name,
        "RestartCount": record.restart_count,
        "Driver": "overlay2",
        "Platform": record.platform,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": execs or None,
        "HostConfig": record.host_config,
        "GraphDriver": {"Data": _graph(engine, record), "Name": "overlay2"},
    }
    if size:
        changed, whole = container_size(engine, record.id, record.image_id)
        out |= {"SizeRw": changed, "SizeRootFs": whole}
    return out | {
        "Mounts": record.mounts,
        "Config": record.config,
        "NetworkSettings": network_settings(record),
    }


def _started(record: ContainerRecord) -> bool:
    return record.state.started_at != ZERO_TIME


def _paths(engine: Engine, record: ContainerRecord) -> dict[str, str]:
    directory = os.path.join(engine.config.data_root, "containers", record.id)
    return {key: os.path.join(directory, file) if _started(record) else "" for key, file in FILES.items()}


def _graph(engine: Engine, record: ContainerRecord) -> dict[str, str]:
    """Where the layers lie, in overlay2's words."""
    dirs = engine.snapshots.layers(record.id)
    data = {"ID": record.id, "UpperDir": dirs.upper}
    if dirs.lowers:
        data["LowerDir"] = ":".join(dirs.lowers)
    return data
