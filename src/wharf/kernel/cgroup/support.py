"""Which limits the control groups of this kernel know, read off the files they have.

v1: the files of each hierarchy's root. v2: the root has none of the files of limits, so that a controller that is
there counts as all that it does; what only v1 has (swappiness, the switch of the OOM killer, real time) is not there.
"""

import functools
import os
from dataclasses import dataclass

from wharf.kernel.cgroup import files


@dataclass(frozen=True, slots=True)
class Support:
    """True: the limit can be set. `mems`: the memory nodes that there are, "" when the kernel does not tell."""

    memory: bool = False
    swap: bool = False
    reservation: bool = False
    swappiness: bool = False
    oom_switch: bool = False
    kernel: bool = False
    kernel_tcp: bool = False
    pids: bool = False
    shares: bool = False
    cfs: bool = False
    realtime: bool = False
    cpuset: bool = False
    weight: bool = False
    device_weight: bool = False
    read_bps: bool = False
    write_bps: bool = False
    read_iops: bool = False
    write_iops: bool = False
    mems: str = ""


def supported(mounts: dict[str, str]) -> Support:
    """Of the hierarchies at `mounts` (`Host.cgroup_mounts`): controller -> directory, the key "" meaning v2.

    Looked at once: a kernel does not learn.
    """
    return _looked_at(tuple(sorted(mounts.items())))


@functools.lru_cache(maxsize=16)
def _looked_at(mounts: tuple[tuple[str, str], ...]) -> Support:
    found = dict(mounts)
    return _of_v2(found[""]) if set(found) == {""} else _of_v1(found)


def _of_v1(mounts: dict[str, str]) -> Support:
    def has(controller: str, file: str) -> bool:
        return controller in mounts and os.path.exists(f"{mounts[controller]}/{file}")

    return Support(
        memory="memory" in mounts,
        swap=has("memory", "memory.memsw.limit_in_bytes"),
        reservation=has("memory", "memory.soft_limit_in_bytes"),
        swappiness=has("memory", "memory.swappiness"),
        oom_switch=has("memory", "memory.oom_control"),
        kernel=has("memory", "memory.kmem.limit_in_bytes"),
        kernel_tcp=has("memory", "memory.kmem.tcp.limit_in_bytes"),
        pids="pids" in mounts,
        shares=has("cpu", "cpu.shares"),
        cfs=has("cpu", "cpu.cfs_quota_us"),
        realtime=has("cpu", "cpu.rt_period_us"),
        cpuset="cpuset" in mounts,
        weight=has("blkio", "blkio.weight"),
        device_weight=has("blkio", "blkio.weight_device"),
        read_bps=has("blkio", "blkio.throttle.read_bps_device"),
        write_bps=has("blkio", "blkio.throttle.write_bps_device"),
        read_iops=has("blkio", "blkio.throttle.read_iops_device"),
        write_iops=has("blkio", "blkio.throttle.write_iops_device"),
        mems=files.read(f"{mounts['cpuset']}/cpuset.mems").strip() if "cpuset" in mounts else "",
    )


def _of_v2(root: str) -> Support:
    there = files.read(f"{root}/cgroup.controllers").split()
    memory, cpu, block = "memory" in there, "cpu" in there, "io" in there
    return Support(
        memory=memory,
        swap=memory and _counts_swap(root),
        reservation=memory,
        pids="pids" in there,
        shares=cpu,
        cfs=cpu,
        cpuset="cpuset" in there,
        weight=block,
        device_weight=block,
        read_bps=block,
        write_bps=block,
        read_iops=block,
        write_iops=block,
        mems=files.read(f"{root}/cpuset.mems.effective").strip() if "cpuset" in there else "",
    )


def _counts_swap(root: str) -> bool:
    """The true root has no file of limits: a cgroup below it that is controlled has them, where there is one yet."""
    for directory in (root, *(entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))):
        if os.path.exists(f"{directory}/memory.max"):
            return os.path.exists(f"{directory}/memory.swap.max")
    return os.path.exists("/proc/swaps")
