"""The body of `POST /containers/create` from the flags of run and create, member for member as docker sends it."""

from __future__ import annotations

import os

from wharf.cli import mounts, networks_flag, ports_flag
from wharf.cli.environment import environment, lines
from wharf.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Values = dict[str, Any]


def build(flags: Values, image: str, command: list[str]) -> Values:
    """Config, HostConfig and NetworkingConfig; raises Invalid for flags that do not go together or cannot be read."""
    for old, name in (("net", "network"), ("net-alias", "network-alias"), ("dns-opt", "dns-option")):
        if old in flags:
            flags = {**flags, name: [*flags.get(name, []), *flags[old]]}
    if flags.get("rm") and flags.get("restart", "no") != "no":
        raise Invalid("conflicting options: cannot specify both --restart and --rm")
    attached = set(flags.get("attach") or ([] if flags.get("detach") else ["stdout", "stderr"]))
    interactive = flags.get("interactive", False)
    if interactive and not flags.get("attach") and not flags.get("detach"):
        attached.add("stdin")
    exposed, bindings = ports_flag.publish(flags.get("publish", []))
    exposed.update({port: {} for port in ports_flag.expose(flags.get("expose", [])) if port not in exposed})
    binds, volumes = mounts.split_volumes(flags.get("volume", []))
    body: Values = {
        "Hostname": flags.get("hostname", ""),
        "Domainname": flags.get("domainname", ""),
        "User": flags.get("user", ""),
        "AttachStdin": "stdin" in attached,
        "AttachStdout": "stdout" in attached,
        "AttachStderr": "stderr" in attached,
        **({"ExposedPorts": exposed} if exposed else {}),
        "Tty": flags.get("tty", False),
        "OpenStdin": interactive,
        "StdinOnce": interactive and "stdin" in attached,
        "Env": _environment(flags),
        "Cmd": command or None,
        "Image": image,
        "Volumes": volumes,
        "WorkingDir": flags.get("workdir", ""),
        "Entrypoint": [flags["entrypoint"]] if "entrypoint" in flags else None,
        "OnBuild": None,
        "Labels": _labels(flags),
    }
    for member, flag in (("StopSignal", "stop-signal"), ("StopTimeout", "stop-timeout"), ("MacAddress", "mac-address")):
        if flag in flags:
            body[member] = flags[flag]
    health = _healthcheck(flags)
    if health:
        body["Healthcheck"] = health
    body["HostConfig"] = _host_config(flags, binds, bindings)
    body["NetworkingConfig"] = {"EndpointsConfig": _endpoints(flags)}
    return body


def _host_config(flags: Values, binds: list[str], bindings: ports_flag.Bindings) -> Values:
    host: Values = {
        "Binds": binds or None,
        "ContainerIDFile": flags.get("cidfile", ""),
        "LogConfig": {"Type": flags.get("log-driver", ""), "Config": _pairs(flags.get("log-opt", []))},
        "NetworkMode": _networks(flags)[0]["target"],
        "PortBindings": bindings,
        "RestartPolicy": restart_policy(flags.get("restart", "no")),
        "AutoRemove": flags.get("rm", False),
        "ConsoleSize": _console_size(),
        "Dns": flags.get("dns", []),
        "DnsOptions": flags.get("dns-option", []),
        "DnsSearch": flags.get("dns-search", []),
        "IpcMode": flags.get("ipc", ""),
        "Links": None if networks_flag.is_user_defined(_networks(flags)[0]["target"]) else flags.get("link"),
        "ShmSize": flags.get("shm-size", 0),
        "MemorySwappiness": flags.get("memory-swappiness", -1),
        "OomKillDisable": flags.get("oom-kill-disable", False),
        "PidsLimit": flags.get("pids-limit", 0),
        "Ulimits": flags.get("ulimit", []),
        "Devices": [_device(text) for text in flags.get("device", []) if not _is_cdi(text)],
        "MaskedPaths": None,
        "ReadonlyPaths": None,
    }
    for member, flag in _PLAIN:
        if flag in flags:
            host[member] = flags[flag]
    for member, flag in (("Sysctls", "sysctl"), ("Annotations", "annotation"), ("StorageOpt", "storage-opt")):
        if flag in flags:
            host[member] = _pairs(flags[flag])
    for member, flag in _THROTTLES:
        host[member] = [_throttle(text, flag) for text in flags.get(flag, [])]
    if "tmpfs" in flags:
        host["Tmpfs"] = {path: options for path, _, options in (text.partition(":") for text in flags["tmpfs"])}
    cdi = [text for text in flags.get("device", []) if _is_cdi(text)]
    if cdi or "gpus" in flags:
        host["DeviceRequests"] = [*flags.get("gpus", []), *([{"Driver": "cdi", "DeviceIDs": cdi}] if cdi else ())]
    _security(host, flags.get("security-opt"))
    return host


_PLAIN = (
    ("VolumeDriver", "volume-driver"), ("VolumesFrom", "volumes-from"), ("CapAdd", "cap-add"),
    ("CapDrop", "cap-drop"), ("CgroupnsMode", "cgroupns"), ("ExtraHosts", "add-host"), ("GroupAdd", "group-add"),
    ("OomScoreAdj", "oom-score-adj"), ("PidMode", "pid"), ("Privileged", "privileged"),
    ("PublishAllPorts", "publish-all"), ("ReadonlyRootfs", "read-only"), ("UTSMode", "uts"),
    ("UsernsMode", "userns"), ("Isolation", "isolation"), ("Runtime", "runtime"), ("CpuShares", "cpu-shares"),
    ("Memory", "memory"), ("NanoCpus", "cpus"), ("CgroupParent", "cgroup-parent"), ("BlkioWeight", "blkio-weight"),
    ("CpuPeriod", "cpu-period"), ("CpuQuota", "cpu-quota"), ("CpuRealtimePeriod", "cpu-rt-period"),
    ("CpuRealtimeRuntime", "cpu-rt-runtime"), ("CpusetCpus", "cpuset-cpus"), ("CpusetMems", "cpuset-mems"),
    ("DeviceCgroupRules", "device-cgroup-rule"), ("MemoryReservation", "memory-reservation"),
    ("MemorySwap", "memory-swap"), ("Mounts", "mount"), ("Init", "init"),
)  # fmt: skip
_THROTTLES = (
    ("BlkioDeviceReadBps", "device-read-bps"),
    ("BlkioDeviceWriteBps", "device-write-bps"),
    ("BlkioDeviceReadIOps", "device-read-iops"),
    ("BlkioDeviceWriteIOps", "device-write-iops"),
    ("BlkioWeightDevice", "blkio-weight-device"),
)


def _networks(flags: Values) -> list[Values]:
    return flags.get("network") or [{"target": "default"}]


def _endpoints(flags: Values) -> Values:
    wanted = _networks(flags)
    networks_flag.check(wanted, flags)
    return {
        network["target"]: networks_flag.endpoint(network, flags if index == 0 else {})
        for index, network in enumerate(wanted)
    }


def _pairs(given: list[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def _environment(flags: Values) -> list[str] | None:
    return environment(flags.get("env-file", []), flags.get("env", []))


def _labels(flags: Values) -> dict[str, str]:
    lines = [line for path in flags.get("label-file", []) for line in lines(path)]
    return _pairs(lines + flags.get("label", []))


def _healthcheck(flags: Values) -> Values | None:
    if flags.get("no-healthcheck"):
        if any(flag.startswith("health-") for flag in flags):
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    health: Values = {}
    if "health-cmd" in flags:
        health["Test"] = ["CMD-SHELL", flags["health-cmd"]]
    for member, flag in (
        ("Interval", "health-interval"), ("Timeout", "health-timeout"), ("StartPeriod", "health-start-period"),
        ("StartInterval", "health-start-interval"), ("Retries", "health-retries"),
    ):  # fmt: skip
        value = flags.get(flag, 0)
        if value < 0:
            raise Invalid(f"--{flag} cannot be negative")
        if value:
            health[member] = value
    return health or None


def restart_policy(text: str) -> Values:
    """`on-failure:3` as the API has it; raises Invalid in Docker's words."""
    name, colon, count = text.partition(":")
    if colon and not name:
        raise Invalid("invalid restart policy format: no policy provided before colon")
    if not colon:
        return {"Name": name, "MaximumRetryCount": 0}
    if not count.isdigit():
        raise Invalid("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count)}


def _is_cdi(text: str) -> bool:
    return not text.startswith("/") and "=" in text and "/" in text.partition("=")[0]


def _device(text: str) -> Values:
    source, _, rest = text.partition(":")
    target, permissions = source, "rwm"
    for part in rest.split(":") if rest else []:
        if part and not part.startswith("/") and set(part) <= set("rwm"):
            permissions = part
        else:
            target = part
    if not source.startswith("/"):
        raise Invalid(f"{source} is not an absolute path")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions}


def _throttle(text: str, flag: str) -> Values:
    path, colon, rate = text.rpartition(":")
    if not colon or not path.startswith("/dev/"):
        raise Invalid(f"bad format for device path: {text}")
    if flag == "blkio-weight-device":
        return {"Path": path, "Weight": int(rate) if rate.isdigit() else _bad_rate(text)}
    if flag.endswith("iops"):
        return {"Path": path, "Rate": int(rate) if rate.isdigit() else _bad_rate(text)}
    from wharf.cli.units import parse_ram

    try:
        return {"Path": path, "Rate": parse_ram(rate)}
    except ValueError:
        return {"Path": path, "Rate": _bad_rate(text)}


def _bad_rate(text: str) -> int:
    raise Invalid(f"invalid rate for device: {text}. The correct format is <device-path>:<number>[<unit>]")


def _security(host: Values, options: list[str] | None) -> None:
    """Security options: a seccomp profile is sent as its content, `systempaths=unconfined` as empty lists."""
    if options is None:
        return
    kept = []
    for option in options:
        key, equals, value = option.partition("=")
        if key == "systempaths" and value == "unconfined":
            host["MaskedPaths"], host["ReadonlyPaths"] = [], []
            continue
        if key == "seccomp" and equals and value not in ("unconfined", "builtin"):
            option = "seccomp=" + _profile(value)
        kept.append(option)
    host["SecurityOpt"] = kept


def _profile(path: str) -> str:
    from wharf.client import jsontext

    try:
        with open(path, "rb") as file:
            return jsontext.dumps(jsontext.loads(file.read()))
    except OSError as error:
        raise Invalid(f"opening seccomp profile ({path}) failed: open {path}: {str(error.strerror).lower()}") from None
    except ValueError as error:
        raise Invalid(f"compacting json for seccomp profile ({path}) failed: {error}") from None


def _console_size() -> list[int]:
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return [0, 0]
    return [size.lines, size.columns]
