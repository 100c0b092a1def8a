"""The answer of `docker info`: the daemon, the host, and what is switched on."""

import os
import platform
import socket
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

from wharf import __version__
from wharf.engine.cdi import Catalog, read_catalog
from wharf.engine.config import BUILTIN
from wharf.engine.runtimes import listed_runtimes
from wharf.engine.status import state_word
from wharf.engine.times import format_time
from wharf.kernel.cgroup.support import Support, supported
from wharf.kernel.lsm import apparmor
from wharf.logdrivers.check import DRIVERS
from wharf.spec.host import CgroupWorld

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

INDEX_SERVER = "https://index.docker.io/v1/"


def system_info(engine: "Engine") -> dict[str, Any]:
    """Docker's info document."""
    states = Counter(state_word(record.state) for record in engine.containers.all())
    running = states["running"] + states["restarting"]
    catalog = read_catalog(engine.config)
    return {
        "ID": instance_uuid(engine),
        "Containers": sum(states.values()),
        "ContainersRunning": running,
        "ContainersPaused": states["paused"],
        "ContainersStopped": sum(states.values()) - running - states["paused"],
        "Images": len(engine.images.all()),
        "Driver": "overlay2",
        "DriverStatus": _driver_status(engine),
        **_plugins(),
        **_resources(engine),
        "Debug": engine.config.debug,
        "NFd": len(os.listdir("/proc/self/fd")),
        "NGoroutines": threading.active_count(),
        "SystemTime": format_time(time.time_ns()),
        "LoggingDriver": engine.config.log_driver,
        "NEventsListener": engine.events.listeners,
        **_host(engine),
        **_registries(engine),
        **_daemon(engine),
        **_runtimes(engine),
        "SecurityOptions": _security(engine),
        "FirewallBackend": {"Driver": "nftables"},
        "CDISpecDirs": list(engine.config.cdi_spec_dirs),
        **_devices(catalog),
        "Warnings": [*_warnings(engine), *catalog.problems] or None,
    }


def _devices(catalog: Catalog) -> dict[str, Any]:
    """Those that can be asked for by name; the key is left out where there are none."""
    found = [{"Source": "cdi", "ID": name} for name in sorted(catalog.devices)]
    return {"DiscoveredDevices": found} if found else {}


def instance_uuid(engine: "Engine") -> str:
    """A UUID that stays with the data root."""
    kept = engine.database.kv.get("instance-uuid")
    if kept is None:
        kept = str(uuid.uuid4())
        engine.database.kv.put("instance-uuid", kept)
    return str(kept)


def _driver_status(engine: "Engine") -> list[list[str]]:
    return [
        ["Backing Filesystem", _filesystem(engine.config.data_root)],
        ["Supports d_type", "true"],
        ["Using metacopy", "false"],
        ["Native Overlay Diff", "true"],
        ["userxattr", str(engine.host.xattr_prefix.startswith("user.")).lower()],
    ]


def _filesystem(path: str) -> str:
    """The type of the file system that holds `path`: the longest mount point above it (proc(5), mountinfo)."""
    best, kind = "", "unknown"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            point = left.split()[4]
            inside = path == point or path.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, right.split()[0]
    return {"ext4": "extfs"}.get(kind, kind)


def _plugins() -> dict[str, Any]:
    return {
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": list(DRIVERS),
        }
    }


def _resources(engine: "Engine") -> dict[str, Any]:
    mounts = engine.host.cgroup_mounts
    v1 = engine.host.cgroup_world is CgroupWorld.V1
    v2 = engine.host.cgroup_world is CgroupWorld.V2
    memory = v2 or "memory" in mounts
    cpu = v2 or "cpu" in mounts
    swap_file = os.path.join(mounts.get("memory", ""), "memory.memsw.limit_in_bytes")
    kernel_tcp = os.path.join(mounts.get("memory", ""), "memory.kmem.tcp.limit_in_bytes")
    return {
        **({"KernelMemoryTCP": os.path.exists(kernel_tcp)} if v1 else {}),
        "MemoryLimit": memory,
        "SwapLimit": memory and (v2 or os.path.exists(swap_file)),
        "CpuCfsPeriod": cpu,
        "CpuCfsQuota": cpu,
        "CPUShares": cpu,
        "CPUSet": v2 or "cpuset" in mounts,
        "PidsLimit": v2 or "pids" in mounts,
        "IPv4Forwarding": _is_one("/proc/sys/net/ipv4/ip_forward"),
        "OomKillDisable": v1 and memory,
        "CgroupDriver": engine.host.cgroup_driver,
        "CgroupVersion": engine.host.cgroup_world.value if v1 or v2 else "",
    }


def _warnings(engine: "Engine") -> list[str]:
    host = engine.host
    missing = limit_warnings(supported(host.cgroup_mounts), host.cgroup_world is CgroupWorld.V1)
    if not _is_one("/proc/sys/net/ipv4/ip_forward"):
        missing.append("WARNING: IPv4 forwarding is disabled")
    other = host.seccomp and engine.config.seccomp_name != BUILTIN
    profile = ["WARNING: daemon is not using the default seccomp profile"] if other else []
    return [*missing, *engine.network.warnings(), *profile]


def limit_warnings(has: Support, v1: bool) -> list[str]:
    """One for each limit that this kernel has not, in moby's order (daemon/info_unix.go)."""
    limits = (
        (has.memory, "memory limit"),
        (has.swap, "swap limit"),
        (has.kernel_tcp or not v1, "kernel memory TCP limit"),
        (has.oom_switch or not v1, "oom kill disable"),
        (has.cfs, "cpu cfs quota"),
        (has.cfs, "cpu cfs period"),
        (has.shares, "cpu shares"),
        (has.cpuset, "cpuset"),
        (has.device_weight or v1, "io.weight (per device)"),
        (has.read_bps, "blkio throttle.read_bps_device" if v1 else "io.max (rbps)"),
        (has.write_bps, "blkio throttle.write_bps_device" if v1 else "io.max (wbps)"),
        (has.read_iops, "blkio throttle.read_iops_device" if v1 else "io.max (riops)"),
        (has.write_iops, "blkio throttle.write_iops_device" if v1 else "io.max (wiops)"),
    )
    return [f"WARNING: No {name} support" for there, name in limits if not there]


def _is_one(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False


def _host(engine: "Engine") -> dict[str, Any]:
    return {
        "KernelVersion": engine.host.kernel_release,
        "OperatingSystem": _pretty_name(),
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": engine.host.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "GenericResources": None,
        "Name": socket.gethostname(),
    }


def _pretty_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _registries(engine: "Engine") -> dict[str, Any]:
    settings = engine.config.registries
    mirrors = list(settings.mirrors.get("docker.io", ()))
    configs: dict[str, Any] = {"docker.io": {"Mirrors": mirrors, "Name": "docker.io", "Official": True, "Secure": True}}
    networks = ["::1/128", "127.0.0.0/8", *(text for text in settings.insecure if "/" in text)]
    for host in settings.insecure:
        if "/" not in host:
            configs[host] = {"Mirrors": [], "Name": host, "Official": False, "Secure": False}
    return {
        "IndexServerAddress": INDEX_SERVER,
        "RegistryConfig": {
            "IndexConfigs": configs,
            "InsecureRegistryCIDRs": networks,
            "Mirrors": mirrors or None,
        },
        "HttpProxy": _without_password(settings.proxies.http),
        "HttpsProxy": _without_password(settings.proxies.https),
        "NoProxy": settings.proxies.no_proxy,
    }


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    return f"{scheme}{mark}xxxxx:xxxxx@{host}" if at and user else url


def _daemon(engine: "Engine") -> dict[str, Any]:
    return {
        "DockerRootDir": engine.config.data_root,
        "Labels": list(engine.config.labels),
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "LiveRestoreEnabled": engine.config.live_restore,
        "Isolation": "",
        "Swarm": {
            "NodeID": "",
            "NodeAddr": "",
            "LocalNodeState": "inactive",
            "ControlAvailable": False,
            "Error": "",
            "RemoteManagers": None,
        },
    }


def _runtimes(engine: "Engine") -> dict[str, Any]:
    return {
        "Runtimes": listed_runtimes(engine.config),
        "DefaultRuntime": engine.config.default_runtime,
        "InitBinary": "docker-init" if engine.init_program else "",
        "ContainerdCommit": {"ID": ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
    }


def _security(engine: "Engine") -> list[str]:
    options = ["name=apparmor"] if engine.apparmor == apparmor.PROFILE else []
    if engine.host.seccomp:
        options.append(f"name=seccomp,profile={engine.config.seccomp_name}")
    if engine.selinux is not None:
        options.append("name=selinux")
    if engine.config.id_maps:
        options.append("name=userns")
    if engine.host.cgroup_world is CgroupWorld.V2:
        options.append("name=cgroupns")
    if engine.config.no_new_privileges:
        options.append("name=no-new-privileges")
    return options
