"""A container's record as an OCI runtime specification (config.json), with Docker's defaults. Pure.

What must be looked up on the host (device numbers, the sources of mounts, joined namespaces) comes in `Found`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wharf.engine.bind_id_maps import mount_fields
from wharf.engine.defaults import DEFAULT_PATH
from wharf.engine.id_maps import IdMaps
from wharf.engine.mount_spec import subpath_of
from wharf.engine.oci_resources import Device, resources_of
from wharf.engine.security import Security
from wharf.kernel import mounts as mnt
from wharf.kernel.lsm.selinux import mount_option
from wharf.spec.container import ContainerRecord, HostConfig, MountPoint, MountRequest, Ulimit

INIT_PATH = "/sbin/docker-init"
SHM = "shm"
"""Among the joined namespaces: the mount namespace of the container whose /dev/shm is shared."""

Spec = dict[str, Any]

_PROC = ("/proc", "proc", "proc", ("nosuid", "noexec", "nodev"))
_DEV = ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
_PTS = ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"))
_SYS = ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro"))
_CGROUP = ("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev"))
_MQUEUE = ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev"))
_SHM = ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777"))
_STAYS_WRITABLE = ("/proc", "/dev/pts", "/dev/shm", "/dev/mqueue", "/dev")


@dataclass(frozen=True, slots=True)
class Found:
    """What the engine looked up: see the module. `files` are the mounts of hostname, hosts and resolv.conf."""

    capabilities: Sequence[str]
    security: Security
    devices: Sequence[Device] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Target in the container -> file on the host."""
    joined: frozenset[str] = frozenset()
    """OCI namespace types that are another container's."""
    recursive_readonly: bool = True
    throttles: Mapping[str, list[dict[str, int]]] = field(default_factory=dict)
    """OCI `blockIO` keys -> device numbers with their rates."""
    id_maps: IdMaps | None = None
    """Of the container's user namespace; None: the host's."""
    apparmor: str = ""
    """The profile; "" where there is no AppArmor."""
    init_program: str = ""
    """The host's small init, for containers that ask for one."""


def build_spec(record: ContainerRecord, found: Found) -> Spec:
    """The specification that the monitor carries out."""
    config, host = record.config, record.host_config
    own = _own_namespaces(record) + (["user"] if found.id_maps else [])
    spec: Spec = {
        "ociVersion": "1.2.1",
        "process": process_of(record, found),
        "root": {"path": "rootfs", "readonly": host.readonly_rootfs},
        "hostname": config.hostname,
        "mounts": mounts_of(record, found),
        "linux": {
            "namespaces": [{"type": kind} for kind in own],
            "resources": resources_of(host, found.devices, found.throttles),
            "devices": [_device(item) for item in found.devices],
            "sysctl": _sysctls(host, "network" in own and "network" not in found.joined, found.id_maps is not None),
            "maskedPaths": list(host.masked_paths or ()),
            "readonlyPaths": list(host.readonly_paths or ()),
            "rootfsPropagation": _root_propagation(record),
        },
    }
    if found.id_maps:
        spec["linux"].update(found.id_maps.as_oci())
    if record.mount_label:
        spec["linux"]["mountLabel"] = record.mount_label
    if config.domainname:
        spec["domainname"] = config.domainname
    if host.annotations:
        spec["annotations"] = dict(host.annotations)
    return spec


def _own_namespaces(record: ContainerRecord) -> list[str]:
    """Types the process is not left in the host's namespace of; those joined are among them."""
    host, kinds = record.host_config, ["mount"]
    if record.network_mode != "host":
        kinds.append("network")
    if host.uts_mode != "host":
        kinds.append("uts")
    if host.pid_mode != "host":
        kinds.append("pid")
    if host.ipc_mode != "host":
        kinds.append("ipc")
    if host.cgroupns_mode == "private":
        kinds.append("cgroup")
    return kinds


# -- the process


def process_of(record: ContainerRecord, found: Found) -> Spec:
    """`process` of the container's first process."""
    config, host = record.config, record.host_config
    process: Spec = {
        "terminal": config.tty,
        "user": {"uid": 0, "gid": 0},
        "args": [*_init_words(host), record.path, *record.args],
        "env": environment(record),
        "cwd": config.working_dir or "/",
        "capabilities": capability_sets(found.capabilities),
        "rlimits": rlimits(host.ulimits),
        "noNewPrivileges": found.security.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
    }
    if found.apparmor:
        process["apparmorProfile"] = found.apparmor
    if record.process_label:
        process["selinuxLabel"] = record.process_label
    if config.tty and any(host.console_size):
        process["consoleSize"] = {"height": host.console_size[0], "width": host.console_size[1]}
    return process


def _init_words(host: HostConfig) -> list[str]:
    """What goes before the program with --init; a pid namespace of others has its own init."""
    return [INIT_PATH, "--"] if host.init and host.pid_mode in ("", "private") else []


def environment(record: ContainerRecord) -> list[str]:
    """Variables in Docker's order: PATH, HOSTNAME, TERM, links', then the configured ones in place or behind."""
    config = record.config
    base = [DEFAULT_PATH, f"HOSTNAME={config.hostname}"]
    if config.tty:
        base.append("TERM=xterm")
    return replace_env([*base, *record.link_env], config.env or ())


def replace_env(base: Sequence[str], own: Sequence[str]) -> list[str]:
    """`own` over `base`: a name keeps its place, a name without `=` is taken away."""
    result = {entry.partition("=")[0]: entry for entry in base}
    for entry in own:
        name, equals, _ = entry.partition("=")
        if equals:
            result[name] = entry
        else:
            result.pop(name, None)
    return list(result.values())


def capability_sets(names: Sequence[str]) -> Spec:
    """Bounding, permitted and effective alike; nothing inheritable, nothing ambient."""
    return {"bounding": list(names), "permitted": list(names), "effective": list(names)}


def rlimits(limits: Sequence[Ulimit] | None) -> list[Spec]:
    """`HostConfig.Ulimits` as rlimits."""
    return [{"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard} for limit in limits or ()]


# -- mounts


def mounts_of(record: ContainerRecord, found: Found) -> list[Spec]:
    """All mounts below the root: defaults that nothing replaces, the engine's files, the user's; parents first."""
    host = record.host_config
    own = _user_mounts(record, found.recursive_readonly)
    if found.id_maps:  # volumes store ids of the image, as snapshots do; what the user binds is the host's
        volumes = {point.destination for point in record.mounts if point.type == "volume"}
        for item in own:
            item["options"] += ["ridmap"] if item["destination"] in volumes else []
    taken = {item["destination"] for item in own}
    mounts = [
        item for item in _default_mounts(host, found.security, SHM in found.joined) if item["destination"] not in taken
    ]
    if "/dev" in taken:
        mounts = [item for item in mounts if not item["destination"].startswith("/dev/")]
    for target, source in found.files.items():
        if target not in taken:
            options = ["rbind", "rprivate"] + (["ro"] if host.readonly_rootfs else [])
            options += ["ridmap"] if found.id_maps else []
            mounts.append(_mount(target, "bind", source, options))
    if record.mount_label:  # proc and sysfs have labels of the kernel's
        for item in [*mounts, *own]:
            item["options"] += mount_option(record.mount_label) if item["type"] in ("tmpfs", "devpts") else []
    if _init_words(host):
        mounts.append(_mount(INIT_PATH, "bind", found.init_program, ["bind", "ro"]))
    return sorted(mounts + own, key=lambda item: item["destination"].rstrip("/").count("/"))


def _default_mounts(host: HostConfig, security: Security, shared_shm: bool = False) -> list[Spec]:
    defaults = [_PROC, _DEV, _PTS, _SYS, _CGROUP, _MQUEUE]
    mounts = [_mount(target, kind, source, list(options)) for target, kind, source, options in defaults]
    if shared_shm:
        mounts.append(_mount(_SHM[0], "bind", SHM, ["rbind", "rprivate"]))
    elif host.ipc_mode != "none":
        mounts.append(_mount(_SHM[0], _SHM[1], _SHM[2], [*_SHM[3], f"size={host.shm_size}"]))
    for item in mounts:
        writable = host.privileged and item["destination"] in ("/sys", "/sys/fs/cgroup")
        if writable or (security.writable_cgroups and item["destination"] == "/sys/fs/cgroup"):
            item["options"] = ["rw" if word == "ro" else word for word in item["options"]]
        elif host.readonly_rootfs and item["destination"] not in _STAYS_WRITABLE and "ro" not in item["options"]:
            item["options"].append("ro")
    if host.ipc_mode == "host":
        mounts = [item for item in mounts if item["destination"] not in ("/dev/shm", "/dev/mqueue")]
        shared = [path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)]
        mounts += [_mount(path, "bind", path, ["rbind", "rprivate"]) for path in shared]
    return mounts


def _mount(target: str, kind: str, source: str, options: list[str]) -> Spec:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _user_mounts(record: ContainerRecord, recursive_readonly: bool) -> list[Spec]:
    mounts = [
        _user_mount(point, request, recursive_readonly)
        for point, request in zip(record.mounts, record.mount_requests, strict=True)
    ]
    for target, options in (record.host_config.tmpfs or {}).items():
        words = [word for word in options.split(",") if word]
        mounts.append(_mount(target, "tmpfs", "tmpfs", tmpfs_options(words)))
    return mounts


def _user_mount(point: MountPoint, request: MountRequest, recursive_readonly: bool) -> Spec:
    if point.type == "tmpfs":
        options = request.tmpfs_options
        words = [f"size={options.size_bytes}"] if options and options.size_bytes else []
        if options and options.mode:
            words.append(f"mode={options.mode:o}")
        words += ["=".join(pair) for pair in (options.options if options else None) or ()]
        words += ["ro"] if request.read_only else []
        return _mount(point.destination, "tmpfs", "tmpfs", tmpfs_options(words))
    if point.type == "image":
        part = subpath_of(request)
        words = ["rbind", "ro", point.propagation, *([mnt.SUBDIR + part] if part else [])]
        return _mount(point.destination, "bind", point.source, words)
    bind = request.bind_options
    options_ = ["bind" if bind and bind.non_recursive else "rbind"]
    if not point.rw:
        deep = recursive_readonly and not (bind and bind.read_only_non_recursive)
        options_ += ["ro", "rro"] if deep else ["ro"]
    options_.append(point.propagation or (bind.propagation if bind else "") or "rprivate")
    if request.volume_options and request.volume_options.subpath:
        options_.append(mnt.SUBDIR + request.volume_options.subpath)
    if point.type == "bind":
        extra = mount_fields(point.mode)
        return {**_mount(point.destination, "bind", point.source, options_ + extra.pop("options")), **extra}
    return _mount(point.destination, "bind", point.source, options_)


def tmpfs_options(words: Sequence[str]) -> list[str]:
    """Docker's defaults, then what was asked: a later word takes back an earlier one (`exec`, `suid`, `dev`)."""
    opposites = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro", "ro": "rw"}
    result = ["noexec", "nosuid", "nodev", "rprivate"]
    for word in words:
        if word in opposites:
            result = [item for item in result if item != opposites[word]]
        result.append(word)
    return result


def _root_propagation(record: ContainerRecord) -> str:
    """A mount that shares with the host needs a root that is not private to it."""
    words = {point.propagation for point in record.mounts}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else ""


# -- linux


def _sysctls(host: HostConfig, own_network: bool, mapped: bool = False) -> dict[str, str]:
    base = {}
    if own_network:
        base = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    if mapped:  # the range holds ids that a user namespace has not
        base.pop("net.ipv4.ping_group_range", None)
    return {**base, **(host.sysctls or {})}


def _device(item: Device) -> Spec:
    return {
        "path": item.path,
        "type": item.kind,
        "major": item.major,
        "minor": item.minor,
        "fileMode": item.mode,
        "uid": item.uid,
        "gid": item.gid,
    }
