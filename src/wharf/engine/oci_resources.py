"""The limits of a container, and the devices it may use, as an OCI runtime specification has them (`linux.resources`).

Pure, as oci_spec.py: what is looked up on the host comes as arguments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wharf.errors import Invalid
from wharf.spec.container import HostConfig

CPU_PERIOD = 100_000
"""Microseconds; what NanoCpus is turned into a quota of."""

Spec = dict[str, Any]

DEFAULT_DEVICE_RULES: tuple[tuple[bool, str, int | None, int | None, str], ...] = (
    (False, "a", None, None, "rwm"),
    (True, "c", 1, 3, "rwm"),
    (True, "c", 1, 5, "rwm"),
    (True, "c", 1, 7, "rwm"),
    (True, "c", 1, 8, "rwm"),
    (True, "c", 1, 9, "rwm"),
    (True, "c", 5, 0, "rwm"),
    (True, "c", 5, 1, "rwm"),
    (True, "c", 5, 2, "rwm"),
    (True, "c", 136, None, "rwm"),
    (False, "c", 10, 229, "rwm"),
    (True, "c", None, None, "m"),
    (True, "b", None, None, "m"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """A device node for the container; `kind` is c, b or p."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"


def resources_of(
    host: HostConfig, devices: Sequence[Device] = (), throttles: Mapping[str, list[dict[str, int]]] | None = None
) -> Spec:
    """`linux.resources`: only what is limited."""
    out: Spec = {"devices": _device_rules(host, devices)}
    memory = {
        "limit": host.memory or None,
        "reservation": host.memory_reservation or None,
        "swap": host.memory_swap or None,
        "swappiness": host.memory_swappiness,
        "kernelTCP": host.kernel_memory_tcp or None,
        "disableOOMKiller": True if host.oom_kill_disable else None,
    }
    cpu = {
        "shares": host.cpu_shares or None,
        "quota": host.cpu_quota or None,
        "period": host.cpu_period or None,
        "realtimeRuntime": host.cpu_realtime_runtime or None,
        "realtimePeriod": host.cpu_realtime_period or None,
        "cpus": host.cpuset_cpus or None,
        "mems": host.cpuset_mems or None,
    }
    if host.nano_cpus > 0:
        cpu |= {"period": CPU_PERIOD, "quota": host.nano_cpus * CPU_PERIOD // 10**9}
    for name, values in (("memory", memory), ("cpu", cpu)):
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            out[name] = given
    if host.pids_limit:
        out["pids"] = {"limit": host.pids_limit}
    block: Spec = dict(throttles or {})
    if host.blkio_weight:
        block["weight"] = host.blkio_weight
    if block:
        out["blockIO"] = block
    return out


def _device_rules(host: HostConfig, devices: Sequence[Device]) -> list[Spec]:
    if host.privileged:
        return [{"allow": True, "access": "rwm"}]
    rules = [_rule(*rule) for rule in DEFAULT_DEVICE_RULES]
    rules += [_rule(True, item.kind, item.major, item.minor, item.access) for item in devices if item.kind in "cb"]
    for text in host.device_cgroup_rules or ():
        rules.append(parse_device_rule(text))
    return rules


def parse_device_rule(text: str) -> Spec:
    """`c 1:3 mr` of --device-cgroup-rule; raises Invalid."""
    words = text.split()
    numbers = words[1].split(":") if len(words) == 3 else []
    if len(numbers) != 2 or words[0] not in ("a", "b", "c") or not words[2] or set(words[2]) - set("rwm"):
        raise Invalid(f"invalid device cgroup rule format: '{text[:100]}'")
    if not all(part == "*" or part.isdecimal() for part in numbers):
        raise Invalid(f"invalid device cgroup rule format: '{text[:100]}'")
    major, minor = (None if part == "*" else int(part) for part in numbers)
    return _rule(True, words[0], major, minor, words[2])


def _rule(allow: bool, kind: str, major: int | None, minor: int | None, access: str) -> Spec:
    rule: Spec = {"allow": allow, "access": access}
    if kind != "a":
        rule["type"] = kind
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule
