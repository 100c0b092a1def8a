"""Which of `linux.resources` this host's cgroups cannot carry out: each is refused by name (runtime.md: "cannot apply a
property"), where nothing was made yet."""

from collections.abc import Iterator
from typing import Any

from wharf.kernel.cgroup.support import Support, supported
from wharf.runtime.oci.errors import CommandFailed
from wharf.spec.host import CgroupWorld, Host

_NEEDS = {
    "memory": {
        "limit": "memory",
        "reservation": "reservation",
        "swappiness": "swappiness",
        "kernelTCP": "kernel_tcp",
        "disableOOMKiller": "oom_switch",
    },
    "cpu": {
        "shares": "shares",
        "quota": "cfs",
        "period": "cfs",
        "realtimeRuntime": "realtime",
        "realtimePeriod": "realtime",
        "cpus": "cpuset",
        "mems": "cpuset",
    },
    "pids": {"limit": "pids"},
    "blockIO": {
        "weight": "weight",
        "weightDevice": "device_weight",
        "throttleReadBpsDevice": "read_bps",
        "throttleWriteBpsDevice": "write_bps",
        "throttleReadIOPSDevice": "read_iops",
        "throttleWriteIOPSDevice": "write_iops",
    },
}
"""Group and key of the configuration -> the field of Support."""
_ABSENT = {
    CgroupWorld.V1: ("unified", "blockIO.leafWeight"),
    CgroupWorld.V2: ("network.classID", "network.priorities", "blockIO.leafWeight"),
}
"""What a world has no file for; of the rest, whose file may be missing, the kernel's answer tells."""


def check(resources: dict[str, Any], host: Host) -> None:
    """Raise CommandFailed naming every limit that would not hold."""
    support = supported(host.cgroup_mounts) if host.cgroup_mounts else Support()
    found = [*_beyond(resources, support), *_of_the_other_world(resources, host)]
    if found:
        raise CommandFailed(f"the cgroups of this host cannot apply resources.{', resources.'.join(found)}")


def _beyond(resources: dict[str, Any], support: Support) -> Iterator[str]:
    for group, keys in _NEEDS.items():
        given = resources.get(group) or {}
        yield from (
            f"{group}.{key}"
            for key, field in keys.items()
            if _asks(key, given.get(key)) and not getattr(support, field)
        )
    # No swap at all and as much as there is are the same where none can be counted.
    memory = resources.get("memory") or {}
    if (memory.get("swap") or 0) > max(0, memory.get("limit") or 0) and not support.swap:
        yield "memory.swap"
    if any(item.get("leafWeight") for item in (resources.get("blockIO") or {}).get("weightDevice") or ()):
        yield "blockIO.weightDevice.leafWeight"


def _asks(key: str, value: Any) -> bool:
    """0 and what is unlimited ask for nothing; but of swappiness 0 is a value."""
    if key == "swappiness":
        return value is not None
    return bool(value) and not (isinstance(value, int) and value < 0)


def _of_the_other_world(resources: dict[str, Any], host: Host) -> Iterator[str]:
    for name in _ABSENT.get(host.cgroup_world, ()):
        group, _, key = name.partition(".")
        given = resources.get(group) or {}
        if given.get(key) if key else given:
            yield name
