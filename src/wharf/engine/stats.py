"""One sample of what a container uses, in the shape of `docker stats`."""

import os
import time
from typing import TYPE_CHECKING, Any

from wharf.engine.times import format_time
from wharf.errors import WharfError
from wharf.spec.container import ZERO_TIME
from wharf.spec.host import CgroupWorld

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

NO_CPU: dict[str, Any] = {
    "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
    "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
}
UNLIMITED = 1 << 62
"""A limit of v1 or v2 above this is none: the host's memory counts then."""


def sample_stats(engine: "Engine", name: str, previous: dict[str, Any] | None = None) -> dict[str, Any]:
    """Usage now; `previous` is the sample before, whose CPU part comes along. Zeroes when stopped. Raises NotFound."""
    container = engine.containers.live(name)
    record = container.record
    out: dict[str, Any] = {
        "name": "/" + record.name,
        "id": record.id,
        "read": ZERO_TIME,
        "preread": previous["read"] if previous else ZERO_TIME,
        "pids_stats": {},
        "blkio_stats": dict.fromkeys(_BLKIO),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": NO_CPU,
        "precpu_stats": previous["cpu_stats"] if previous else NO_CPU,
        "memory_stats": {},
    }
    running = container.running
    if running is None:
        return out
    try:
        usage = running.stats()
    except (OSError, WharfError):  # it ended while we looked
        return out
    out |= {
        "read": format_time(time.time_ns()),
        "pids_stats": _pids(usage),
        "blkio_stats": _blkio(usage),
        "cpu_stats": _cpu(usage),
        "memory_stats": _memory(usage),
    }
    networks = _networks(running.pid)
    if networks:
        out["networks"] = networks
    return out


_BLKIO = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def _blkio(usage: dict[str, Any]) -> dict[str, Any]:
    """Docker has empty lists in v1, and no lists in v2, where there is nothing to tell."""
    if not _is_v1(usage):  # it counts operations too, and Docker does not tell
        return dict.fromkeys(_BLKIO) | {_BLKIO[0]: usage.get("io_bytes") or None}
    counted = {_BLKIO[0]: usage.get("io_bytes") or [], _BLKIO[1]: usage.get("io_operations") or []}
    return {key: [] for key in _BLKIO} | counted


def _is_v1(usage: dict[str, Any]) -> bool:
    return usage.get("world") == CgroupWorld.V1.value


def _pids(usage: dict[str, Any]) -> dict[str, Any]:
    out = {"current": usage.get("pids_current") or 0}
    limit = usage.get("pids_limit")
    if limit and limit < (1 << 63) - 1:
        return out | {"limit": limit}
    # Without a limit Docker writes nothing in v1, the largest uint64 in v2.
    return out if _is_v1(usage) else out | {"limit": (1 << 64) - 1}


def _cpu(usage: dict[str, Any]) -> dict[str, Any]:
    throttle = usage.get("cpu_throttle") or {}
    split: dict[str, Any] = {
        "total_usage": usage.get("cpu_total_ns") or 0,
        "usage_in_kernelmode": usage.get("cpu_system_ns") or 0,
        "usage_in_usermode": usage.get("cpu_user_ns") or 0,
    }
    if usage.get("cpu_per_cpu_ns"):
        split["percpu_usage"] = usage["cpu_per_cpu_ns"]
    return {
        "cpu_usage": split,
        "system_cpu_usage": _host_cpu_ns(),
        "online_cpus": os.cpu_count() or 1,
        "throttling_data": {
            "periods": throttle.get("nr_periods", 0),
            "throttled_periods": throttle.get("nr_throttled", 0),
            "throttled_time": throttle.get("throttled_time", throttle.get("throttled_usec", 0) * 1000),
        },
    }


def _host_cpu_ns() -> int:
    """Time that all processors of the host have spent, in nanoseconds (proc(5), stat)."""
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()[1:8]
    return sum(int(word) for word in words) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))


def _memory(usage: dict[str, Any]) -> dict[str, Any]:
    limit = usage.get("memory_limit")
    if not limit or limit > UNLIMITED:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    out: dict[str, Any] = {"usage": usage.get("memory_usage") or 0, "stats": usage.get("memory") or {}, "limit": limit}
    if usage.get("memory_max_usage"):
        out["max_usage"] = usage["memory_max_usage"]
    if usage.get("memory_failures"):
        out["failcnt"] = usage["memory_failures"]
    return out


def _networks(pid: int) -> dict[str, Any]:
    """Counters of the interfaces in a process's network namespace, lo left out (proc(5), net/dev)."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found: dict[str, Any] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() == "lo" or len(numbers) < 12:
            continue
        found[name.strip()] = {
            "rx_bytes": numbers[0],
            "rx_packets": numbers[1],
            "rx_errors": numbers[2],
            "rx_dropped": numbers[3],
            "tx_bytes": numbers[8],
            "tx_packets": numbers[9],
            "tx_errors": numbers[10],
            "tx_dropped": numbers[11],
        }
    return found
