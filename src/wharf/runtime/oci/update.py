"""`update`: other limits for a container that runs."""

import json
import sys
from typing import Any

from wharf.runtime.oci import cgroups, limits
from wharf.runtime.oci.arguments import Parsed, memory
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.log import Log
from wharf.runtime.oci.state import Store
from wharf.spec.host import Host

_NUMBERS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "pids-limit": ("pids", "limit"),
}
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
}
_OBSOLETE = ("kernel-memory", "kernel-memory-tcp")
"""runc takes them, and warns that they do nothing."""
_RDT = ("l3-cache-schema", "mem-bw-schema")
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
NUMBER_FLAGS, TEXT_FLAGS = tuple(_NUMBERS), (*_TEXTS, *_SIZES, *_OBSOLETE, *_RDT)


def resources_of(flags: Parsed, log: Log) -> dict[str, Any]:
    """`linux.resources` from the flags, or from the file that --resources names."""
    path = flags.text("resources")
    if path:
        try:
            if path == "-":
                given = json.load(sys.stdin)
            else:
                with open(path) as file:
                    given = json.load(file)
        except (OSError, ValueError) as error:
            raise CommandFailed(f"{path}: {error}") from None
        if not isinstance(given, dict):
            raise CommandFailed(f"{path} is no object")
        return given
    for flag in _RDT:
        if flags.text(flag):
            raise CommandFailed(f"--{flag}: intelRdt is not supported")
    if any(flags.text(flag) for flag in _OBSOLETE):
        log.write("warning", "Kernel memory settings are ignored and will be removed")
    out: dict[str, Any] = {}
    for flag, (group, key) in {**_NUMBERS, **_SIZES, **_TEXTS}.items():
        if flag in flags.values:
            out.setdefault(group, {})[key] = _value(flags, flag)
    return out


def _value(flags: Parsed, flag: str) -> int | str:
    if flag in _NUMBERS:
        return flags.number(flag)
    return memory(flag, flags.text(flag)) if flag in _SIZES else flags.text(flag)


def update(store: Store, name: str, resources: dict[str, Any], host: Host) -> None:
    """Write the limits; those that are not named stay. Raises CommandFailed."""
    with cgroups.applying():
        limits.check(resources, host)
    with store.locked(name):
        container = store.load(name)
        if store.status(container) == "stopped":
            raise CommandFailed("container not running")
        cgroup = container.open_scope() or container.open_cgroup()
        if cgroup is None:
            raise CommandFailed("this host has no cgroup to limit a container with")
        resources.pop("devices", None)  # replaced as a whole at create only
        with cgroups.applying():
            cgroup.limit(resources)
