"""Containers as Docker's API shows them. Which keys are null, [] or {} follows recorded answers.

Values may be dataclasses of `spec`: whoever writes the JSON turns them into Docker's.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wharf.engine.status import state_word, status_line, unix_seconds
from wharf.spec.container import ContainerRecord, EndpointSettings, PortBinding, Ulimit


@dataclass(slots=True)
class InspectExtras:
    """What inspect shows beside the record; paths are of the host, sizes bytes (None: not asked for)."""

    directory: str = ""
    """Where resolv.conf, hostname and hosts of the container are; empty before the first start."""
    graph: Mapping[str, Any] = field(default_factory=dict)
    driver: str = "overlay2"
    exec_ids: list[str] | None = None
    size_rw: int | None = None
    size_root_fs: int | None = None
    sandbox_key: str = ""
    apparmor: str = ""
    links: list[str] | None = None
    ulimits: list[Ulimit] | None = None
    """The container's, and the daemon's that it does not name."""


@dataclass(slots=True)
class SummaryExtras:
    """What a list shows beside the record. `image` is the name as asked for, or the id when it moved on."""

    image: str = ""
    size_rw: int | None = None
    size_root_fs: int | None = None
    names: Sequence[str] = ()
    """Its own name and those that links give it."""


def container_inspect(record: ContainerRecord, extras: InspectExtras) -> dict[str, Any]:
    """The answer of GET /containers/{id}/json."""
    out: dict[str, Any] = {
        "Id": record.id,
        "Created": record.created,
        "Path": record.path,
        "Args": list(record.args),
        "State": _state(record),
        "Image": record.image_id,
        **_paths(record, extras),
        "LogPath": record.log_path,
        "Name": "/" + record.name,
        "RestartCount": record.restart_count,
        "Driver": extras.driver,
        "Platform": record.platform,
        "MountLabel": record.mount_label,
        "ProcessLabel": record.process_label,
        "AppArmorProfile": extras.apparmor,
        "ExecIDs": extras.exec_ids or None,
        "HostConfig": dataclasses.replace(record.host_config, links=extras.links, ulimits=extras.ulimits),
        "GraphDriver": {"Data": dict(extras.graph) or None, "Name": extras.driver},
    }
    if extras.size_root_fs is not None:
        out |= {"SizeRw": extras.size_rw or 0, "SizeRootFs": extras.size_root_fs}
    out["Mounts"] = record.mounts
    out["Config"] = record.config
    out["NetworkSettings"] = network_settings(record, extras.sandbox_key)
    return out


def _state(record: ContainerRecord) -> dict[str, Any]:
    state = record.state
    out: dict[str, Any] = {
        "Status": state_word(state),
        "Running": state.running,
        "Paused": state.paused,
        "Restarting": state.restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.dead,
        "Pid": state.pid if state.running else 0,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    }
    if state.health is not None:
        out["Health"] = state.health
    return out


def _paths(record: ContainerRecord, extras: InspectExtras) -> dict[str, str]:
    files = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    return {key: f"{extras.directory}/{name}" if extras.directory else "" for key, name in files.items()}


def network_settings(record: ContainerRecord, sandbox_key: str = "") -> dict[str, Any]:
    """`NetworkSettings` with the old fields at its top, which tell about the default bridge only."""
    running = record.state.running
    own = running and bool(record.network_mode) and not record.joined_network
    bridge = record.networks.get("bridge") if running else None
    bridge = bridge or EndpointSettings()
    return {
        "Bridge": "",
        "SandboxID": record.sandbox_id if own else "",
        "SandboxKey": sandbox_key if own else "",
        "Ports": record.ports if running else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": bridge.endpoint_id,
        "Gateway": bridge.gateway,
        "GlobalIPv6Address": bridge.global_ipv6_address,
        "GlobalIPv6PrefixLen": bridge.global_ipv6_prefix_len,
        "IPAddress": bridge.ip_address,
        "IPPrefixLen": bridge.ip_prefix_len,
        "IPv6Gateway": bridge.ipv6_gateway,
        "MacAddress": bridge.mac_address,
        "Networks": record.networks,
    }


def container_summary(record: ContainerRecord, extras: SummaryExtras, now: datetime | None = None) -> dict[str, Any]:
    """One element of GET /containers/json."""
    out: dict[str, Any] = {
        "Id": record.id,
        "Names": ["/" + name for name in extras.names or (record.name,)],
        "Image": extras.image or record.config.image or record.image_id,
        "ImageID": record.image_id,
        "Command": command_line(record.path, record.args),
        "Created": unix_seconds(record.created),
        "Ports": _ports(record.ports) if record.state.running else [],
    }
    if extras.size_rw:
        out["SizeRw"] = extras.size_rw
    if extras.size_root_fs:
        out["SizeRootFs"] = extras.size_root_fs
    return out | {
        "Labels": dict(record.config.labels or {}),
        "State": state_word(record.state),
        "Status": status_line(record.state, now),
        "HostConfig": _host_summary(record),
        "NetworkSettings": {"Networks": record.networks},
        "Mounts": record.mounts,
    }


def _host_summary(record: ContainerRecord) -> dict[str, Any]:
    out: dict[str, Any] = {"NetworkMode": record.host_config.network_mode}
    if record.host_config.annotations:
        out["Annotations"] = record.host_config.annotations
    return out


def command_line(path: str, args: list[str]) -> str:
    """The command of a list: words with spaces in single quotes, as moby writes it."""
    return " ".join([path, *(f"'{arg}'" if " " in arg else arg for arg in args)])


def _ports(ports: Mapping[str, list[PortBinding] | None]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for name, bindings in ports.items():
        number, _, protocol = name.partition("/")
        base = {"PrivatePort": int(number), "Type": protocol or "tcp"}
        if not bindings:
            out.append(base)
        for binding in bindings or ():
            out.append({"IP": binding.host_ip, **base, "PublicPort": int(binding.host_port or 0)})
    return out
