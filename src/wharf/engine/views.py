"""Containers and execs as Docker's API shows them. Which keys are null, [] or {} follows recorded answers.

A view is a dict with Docker's keys; its values may be dataclasses of spec/, which wire/ turns into JSON.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wharf.engine.status import state_word, status_line, unix_seconds
from wharf.spec.container import ContainerRecord, EndpointSettings, ExecRecord, PortBinding

Sizes = tuple[int, int]
"""Bytes that a container changed, and of its whole tree."""


def state_view(record: ContainerRecord) -> dict[str, Any]:
    """`State` of inspect."""
    state = record.state
    return {
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


def network_settings(record: ContainerRecord) -> dict[str, Any]:
    """`NetworkSettings` with the old fields at its top, which tell about the default bridge only."""
    running = record.state.running
    bridge = (record.networks.get("bridge") if running else None) or EndpointSettings()
    return {
        "Bridge": "",
        "SandboxID": record.sandbox_id if running else "",
        "SandboxKey": f"/proc/{record.state.pid}/ns/net" if running and record.sandbox_id else "",
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


def summary_view(
    record: ContainerRecord, image: str, sizes: Sizes | None = None, now: datetime | None = None
) -> dict[str, Any]:
    """One element of a list. `image` is the name as asked for, or the id when that name moved on."""
    out: dict[str, Any] = {
        "Id": record.id,
        "Names": ["/" + record.name],
        "Image": image,
        "ImageID": record.image_id,
        "Command": command_line(record.path, record.args),
        "Created": unix_seconds(record.created),
        "Ports": _ports(record.ports) if record.state.running else [],
    }
    if sizes is not None:
        out |= {key: size for key, size in zip(("SizeRw", "SizeRootFs"), sizes, strict=True) if size}
    host: dict[str, Any] = {"NetworkMode": record.host_config.network_mode}
    if record.host_config.annotations:
        host["Annotations"] = record.host_config.annotations
    return out | {
        "Labels": record.config.labels or {},
        "State": state_word(record.state),
        "Status": status_line(record.state, now),
        "HostConfig": host,
        "NetworkSettings": {"Networks": record.networks},
        "Mounts": record.mounts,
    }


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


def exec_view(record: ExecRecord) -> dict[str, Any]:
    """The answer to an inspect of an exec."""
    command = record.config.cmd or [""]
    process: dict[str, Any] = {
        "tty": record.config.tty,
        "entrypoint": command[0],
        "arguments": command[1:],
        "privileged": record.config.privileged,
    }
    if record.config.user:
        process["user"] = record.config.user
    return {
        "ID": record.id,
        "Running": record.running,
        "ExitCode": record.exit_code,
        "ProcessConfig": process,
        "OpenStdin": record.config.attach_stdin,
        "OpenStderr": record.config.attach_stderr,
        "OpenStdout": record.config.attach_stdout,
        "CanRemove": record.can_remove,
        "ContainerID": record.container_id,
        "DetachKeys": record.config.detach_keys,
        "Pid": record.pid,
    }
