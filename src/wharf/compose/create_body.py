"""A service -> what the engine is asked to create (pure): names, labels, the container's body."""

from __future__ import annotations

import os
from collections.abc import Mapping

from wharf.compose import labels
from wharf.compose.hashes import service_hash
from wharf.compose.mounts import container_mounts
from wharf.compose.places import expand_home
from wharf.compose.project import Project, Service
from wharf.compose.record import Record
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IFNAME = "com.docker.network.endpoint.ifname"
_NANO = 10**9
_RESTART = {"none": "no", "no": "no", "any": "always"}


class Wanted(Record, frozen=True):
    """One container: of which service, with which number and name; what it takes over and links to."""

    service: Service
    service_name: str
    number: int
    name: str
    image_id: str = ""
    links: tuple[str, ...] = ()
    labels: Mapping[str, str] | None = None
    """Upon the service's own, instead of the usual ones' one-off mark."""
    inherited: Mapping[str, Mapping[str, Any]] | None = None
    """Mounts by target that come from the container before."""
    one_off: bool = False
    aliases: bool = True
    stdin: bool = False
    remove: bool = False


def separator(project: Project) -> str:
    """Between the parts of a name; COMPOSE_COMPATIBILITY brings the old one back."""
    return "_" if project.environment.get("COMPOSE_COMPATIBILITY", "").lower() in ("1", "t", "true", "y") else "-"


def container_name(project: Project, name: str, service: Service, number: int) -> str:
    """`project-service-1`, or the service's own `container_name`."""
    return str(service.get("container_name") or separator(project).join((project.name, name, str(number))))


def image_name(project: Project, name: str, service: Service) -> str:
    """The service's image, or the name that its built one gets."""
    return str(service.get("image") or separator(project).join((project.name, name)))


def scale_of(service: Service) -> int:
    """How many containers."""
    if service.get("scale") is not None:
        return int(service["scale"])
    replicas = (service.get("deploy") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)


def by_priority(service: Service) -> list[str]:
    """The service's networks, the one that decides the gateway first."""
    networks = service.get("networks") or {}
    return sorted(networks, key=lambda key: (-((networks[key] or {}).get("priority") or 0), key))


def container_labels(project: Project, wanted: Wanted) -> dict[str, str]:
    """The service's labels and Compose's."""
    service = wanted.service
    found = {
        **(service.get("labels") or {}),
        labels.PROJECT: project.name,
        labels.SERVICE: wanted.service_name,
        labels.VERSION: labels.COMPOSE_VERSION,
        labels.WORKING_DIR: project.directory,
        labels.CONFIG_FILES: ",".join(project.files),
        labels.ONE_OFF: "True" if wanted.one_off else "False",
        **({labels.ENV_FILE: ",".join(project.env_files)} if project.env_files else {}),
        **({labels.IMAGE: wanted.image_id} if wanted.image_id else {}),
        **(wanted.labels or {}),
        labels.HASH: service_hash(service),
    }
    if wanted.number > 0:
        found[labels.NUMBER] = str(wanted.number)
    depends = service.get("depends_on") or {}
    found[labels.DEPENDS_ON] = ",".join(
        f"{name}:{how.get('condition', '')}:{str(bool(how.get('restart'))).lower()}" for name, how in depends.items()
    )
    return found


def create_body(project: Project, wanted: Wanted) -> dict[str, Any]:
    """The body of POST /containers/create; raises Invalid for what cannot be."""
    service = wanted.service
    tty, stdin = bool(service.get("tty")), bool(service.get("stdin_open"))
    networks, mode = _networks(project, wanted)
    body: dict[str, Any] = {
        "Hostname": service.get("hostname", ""),
        "Domainname": service.get("domainname", ""),
        "User": service.get("user", ""),
        "AttachStdin": wanted.stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "OpenStdin": stdin,
        "StdinOnce": wanted.stdin and stdin,
        "Cmd": service.get("command"),
        "Image": image_name(project, wanted.service_name, service),
        "WorkingDir": service.get("working_dir", ""),
        "Entrypoint": service.get("entrypoint"),
        "Labels": container_labels(project, wanted),
        "Env": environment_list({**project.proxies, **(service.get("environment") or {})}),
        "ExposedPorts": _exposed(service),
        "HostConfig": _host_config(project, wanted, mode),
    }
    if service.get("healthcheck") is not None:
        body["Healthcheck"] = healthcheck(service["healthcheck"])
    if service.get("stop_signal"):
        body["StopSignal"] = service["stop_signal"]
    if service.get("stop_grace_period") is not None:
        body["StopTimeout"] = -(-service["stop_grace_period"] // _NANO)
    if networks is not None:
        body["NetworkingConfig"] = {"EndpointsConfig": networks}
    return body


def environment_list(values: Mapping[str, str | None]) -> list[str]:
    """`KEY=VALUE`; a key alone takes the variable away."""
    return [key if value is None else f"{key}={value}" for key, value in values.items()]


def healthcheck(check: Mapping[str, Any]) -> dict[str, Any]:
    """A health check for the engine."""
    result: dict[str, Any] = {
        "Test": ["NONE"] if check.get("disable") else check.get("test") or [],
        "Interval": check.get("interval") or 0,
        "Timeout": check.get("timeout") or 0,
        "StartPeriod": check.get("start_period") or 0,
        "StartInterval": check.get("start_interval") or 0,
        "Retries": check.get("retries") or 0,
    }
    return {key: value for key, value in result.items() if value}


def _exposed(service: Service) -> dict[str, Any]:
    ports = list(service.get("expose") or ())  # as docker compose does: without a protocol where none is given
    ports += [f"{port.get('target', 0)}/{port.get('protocol', 'tcp')}" for port in service.get("ports") or ()]
    return {port: {} for port in ports}


def _bindings(service: Service) -> dict[str, list[dict[str, str]]]:
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in service.get("ports") or ():
        key = f"{port.get('target', 0)}/{port.get('protocol', 'tcp')}"
        binding = {"HostIp": port.get("host_ip", ""), "HostPort": port.get("published", "")}
        bindings.setdefault(key, []).append(binding)
    return bindings


def _networks(project: Project, wanted: Wanted) -> tuple[dict[str, Any] | None, str]:
    """Endpoints by network, and the network mode."""
    service = wanted.service
    if service.get("network_mode"):
        return None, str(service["network_mode"])
    keys = by_priority(service)
    if not project.networks or not keys:
        return None, "none"
    endpoints = {
        project.networks[key].get("name", key): _endpoint(project, wanted, key, index == 0)
        for index, key in enumerate(keys)
    }
    return endpoints, str(project.networks[keys[0]].get("name", keys[0]))


def _endpoint(project: Project, wanted: Wanted, key: str, primary: bool) -> dict[str, Any]:
    service = wanted.service
    own: Mapping[str, Any] = service["networks"][key] or {}
    aliases = [container_name(project, wanted.service_name, service, wanted.number)]
    if wanted.aliases:
        aliases += [wanted.service_name, *(own.get("aliases") or ())]
    mac = own.get("mac_address", "") or (service.get("mac_address", "") if primary else "")
    options = dict(own.get("driver_opts") or {})
    if own.get("interface_name"):
        options[_IFNAME] = own["interface_name"]
    endpoint: dict[str, Any] = {
        "Aliases": aliases,
        "Links": list(wanted.links) or None,
        "MacAddress": mac,
        "DriverOpts": options or None,
        "GwPriority": own.get("gw_priority", 0),
        "IPAMConfig": None,
    }
    if service["networks"][key] is not None:
        ipam = {
            "IPv4Address": own.get("ipv4_address", ""),
            "IPv6Address": own.get("ipv6_address", ""),
            "LinkLocalIPs": own.get("link_local_ips"),
        }
        endpoint["IPAMConfig"] = {field: value for field, value in ipam.items() if value}
    return endpoint


def _host_config(project: Project, wanted: Wanted, mode: str) -> dict[str, Any]:
    service = wanted.service
    security, unconfined = _security(project, service.get("security_opt") or ())
    binds, mounts = container_mounts(project, service, wanted.inherited or {})
    hosts = service.get("extra_hosts") or {}
    logging = service.get("logging") or {}
    config: dict[str, Any] = {
        "AutoRemove": wanted.remove,
        "Binds": binds or None,
        "Mounts": mounts or None,
        "Annotations": service.get("annotations"),
        "CapAdd": _capabilities(service.get("cap_add")),
        "CapDrop": _capabilities(service.get("cap_drop")),
        "NetworkMode": mode,
        "Init": service.get("init"),
        "IpcMode": service.get("ipc", ""),
        "CgroupnsMode": service.get("cgroup", ""),
        "ReadonlyRootfs": bool(service.get("read_only")),
        "RestartPolicy": restart_policy(service),
        "ShmSize": service.get("shm_size", 0),
        "Sysctls": service.get("sysctls"),
        "PortBindings": _bindings(service),
        "VolumesFrom": service.get("volumes_from"),
        "Dns": service.get("dns"),
        "DnsSearch": service.get("dns_search"),
        "DnsOptions": service.get("dns_opt"),
        "ExtraHosts": [f"{host}:{address}" for host, addresses in hosts.items() for address in addresses],
        "SecurityOpt": security or None,
        "StorageOpt": service.get("storage_opt"),
        "UsernsMode": service.get("userns_mode", ""),
        "UTSMode": service.get("uts", ""),
        "Privileged": bool(service.get("privileged")),
        "PidMode": service.get("pid", ""),
        "Tmpfs": {key: rest for key, _, rest in (item.partition(":") for item in service.get("tmpfs") or ())},
        "Isolation": service.get("isolation", ""),
        "Runtime": service.get("runtime", ""),
        "LogConfig": {"Type": logging.get("driver", ""), "Config": logging.get("options")},
        "GroupAdd": service.get("group_add"),
        "Links": list(wanted.links) or None,
        "OomScoreAdj": service.get("oom_score_adj", 0),
        **_resources(service),
    }
    if unconfined:
        config["MaskedPaths"] = []
        config["ReadonlyPaths"] = []
    return config


def restart_policy(service: Service) -> dict[str, Any]:
    """`restart`, or `deploy.restart_policy` over it."""
    name, _, count = str(service.get("restart") or "").partition(":")
    policy = {"Name": _RESTART.get(name, name), "MaximumRetryCount": int(count) if count.isdecimal() else 0}
    deployed = (service.get("deploy") or {}).get("restart_policy")
    if deployed is not None:
        name = deployed.get("condition", "")
        policy = {"Name": _RESTART.get(name, name), "MaximumRetryCount": deployed.get("max_attempts") or 0}
    return policy


def _security(project: Project, options: Any) -> tuple[list[str], bool]:
    parsed, unconfined = [], False
    for option in options:
        if option == "systempaths=unconfined":
            unconfined = True
            continue
        key, equals, value = option.partition("=")
        if not equals and key != "no-new-privileges":
            key, equals, value = option.partition(":")
            if not equals:
                raise Invalid(f'invalid security-opt: "{option}"')
        if key == "seccomp" and value not in ("unconfined", "builtin"):
            option = f"seccomp={_profile(project, value)}"
        parsed.append(option)
    return parsed, unconfined


def _capabilities(names: list[str] | None) -> list[str] | None:
    """By their full names, each once, in order: as Docker's clients send them."""
    full = {name.upper() for name in names or ()}
    return sorted(name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in full) or None


def _profile(project: Project, path: str) -> str:
    import json

    place = os.path.join(project.directory, expand_home(path))
    try:
        with open(place, encoding="utf-8") as file:
            return json.dumps(json.load(file), separators=(",", ":"))
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise Invalid(f"opening seccomp profile ({path}) failed: open {place}: {reason}") from None
    except ValueError as error:
        raise Invalid(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def _resources(service: Service) -> dict[str, Any]:
    resources: dict[str, Any] = {
        "CgroupParent": service.get("cgroup_parent", ""),
        "Memory": service.get("mem_limit", 0),
        "MemorySwap": service.get("memswap_limit", 0),
        "MemorySwappiness": service.get("mem_swappiness") or None,
        "MemoryReservation": service.get("mem_reservation", 0),
        "OomKillDisable": bool(service.get("oom_kill_disable")),
        "CpuCount": service.get("cpu_count", 0),
        "CpuPeriod": service.get("cpu_period", 0),
        "CpuQuota": service.get("cpu_quota", 0),
        "CpuRealtimePeriod": service.get("cpu_rt_period", 0),
        "CpuRealtimeRuntime": service.get("cpu_rt_runtime", 0),
        "CpuShares": service.get("cpu_shares", 0),
        "NanoCpus": round(service.get("cpus", 0) * _NANO),
        "CpuPercent": int(service.get("cpu_percent", 0) * 100),
        "CpusetCpus": service.get("cpuset", ""),
        "DeviceCgroupRules": service.get("device_cgroup_rules"),
        "PidsLimit": service.get("pids_limit") or None,
        "Devices": None,
        "DeviceRequests": None,
        "Ulimits": [_ulimit(name, item) for name, item in (service.get("ulimits") or {}).items()] or None,
        **_blkio(service.get("blkio_config") or {}),
    }
    _deployed(service, resources)
    _devices(service, resources)
    return resources


def _ulimit(name: str, limit: Mapping[str, int]) -> dict[str, Any]:
    single = limit.get("single", 0)
    return {"Name": name, "Soft": limit.get("soft") or single, "Hard": limit.get("hard") or single}


def _blkio(config: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if config.get("weight"):
        found["BlkioWeight"] = config["weight"]
    weights = [
        {"Path": item.get("path", ""), "Weight": item.get("weight", 0)} for item in config.get("weight_device") or ()
    ]
    if weights:
        found["BlkioWeightDevice"] = weights
    for field, name in (
        ("device_read_bps", "BlkioDeviceReadBps"), ("device_read_iops", "BlkioDeviceReadIOps"),
        ("device_write_bps", "BlkioDeviceWriteBps"), ("device_write_iops", "BlkioDeviceWriteIOps"),
    ):  # fmt: skip
        rates = [{"Path": item.get("path", ""), "Rate": item.get("rate", 0)} for item in config.get(field) or ()]
        if rates:
            found[name] = rates
    return found


def _deployed(service: Service, resources: dict[str, Any]) -> None:
    """`deploy.resources` over the older attributes."""
    deployed = (service.get("deploy") or {}).get("resources") or {}
    limits, reservations = deployed.get("limits") or {}, deployed.get("reservations") or {}
    if limits.get("memory"):
        resources["Memory"] = limits["memory"]
    if limits.get("cpus"):
        resources["NanoCpus"] = round(limits["cpus"] * _NANO)
    if limits.get("pids", 0) > 0:
        resources["PidsLimit"] = limits["pids"]
    if reservations.get("memory"):
        resources["MemoryReservation"] = reservations["memory"]
    requests = [
        _device_request(item, list(item.get("capabilities") or ())) for item in reservations.get("devices") or ()
    ]
    requests += [
        _device_request(item, [*(item.get("capabilities") or ()), "gpu"]) for item in service.get("gpus") or ()
    ]
    if requests:
        resources["DeviceRequests"] = requests


def _device_request(item: Mapping[str, Any], capabilities: list[str]) -> dict[str, Any]:
    return {
        "Driver": item.get("driver", ""),
        "Count": item.get("count", 0),
        "DeviceIDs": item.get("device_ids"),
        "Capabilities": [capabilities],
        "Options": item.get("options"),
    }


def _devices(service: Service, resources: dict[str, Any]) -> None:
    cdi, devices = [], []
    for device in service.get("devices") or ():
        source, target = device.get("source", ""), device.get("target", "")
        if source == target and "=" in source and "/" in source.partition("=")[0] and not source.startswith("/"):
            cdi.append(source)  # a CDI name: vendor.com/class=device
            continue
        devices.append(
            {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": device.get("permissions", "")}
        )
    resources["Devices"] = devices or None
    if cdi:
        resources["DeviceRequests"] = [{"Driver": "cdi", "DeviceIDs": cdi}, *(resources["DeviceRequests"] or ())]
