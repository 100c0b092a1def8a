"""`wharf update`: limits and restart policy of containers that exist."""

from __future__ import annotations

from wharf.cli.create_body import restart_policy
from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = (
    ("blkio-weight", "", "uint", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
    ("cpu-period", "", "int", "Limit CPU CFS (Completely Fair Scheduler) period"),
    ("cpu-quota", "", "int", "Limit CPU CFS (Completely Fair Scheduler) quota"),
    ("cpu-rt-period", "", "int", "Limit the CPU real-time period in microseconds"),
    ("cpu-rt-runtime", "", "int", "Limit the CPU real-time runtime in microseconds"),
    ("cpu-shares", "c", "int", "CPU shares (relative weight)"),
    ("cpus", "", "decimal", "Number of CPUs"),
    ("cpuset-cpus", "", "string", "CPUs in which to allow execution (0-3, 0,1)"),
    ("cpuset-mems", "", "string", "MEMs in which to allow execution (0-3, 0,1)"),
    ("memory", "m", "bytes", "Memory limit"),
    ("memory-reservation", "", "bytes", "Memory soft limit"),
    ("memory-swap", "", "bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap"),
    ("pids-limit", "", "int", "Tune container pids limit (set -1 for unlimited)"),
    ("restart", "", "string", "Restart policy to apply when a container exits"),
)
_NAMES = {
    "blkio-weight": "BlkioWeight", "cpu-period": "CpuPeriod", "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod", "cpu-rt-runtime": "CpuRealtimeRuntime", "cpu-shares": "CpuShares",
    "cpus": "NanoCpus", "cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems", "memory": "Memory",
    "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap", "pids-limit": "PidsLimit",
}  # fmt: skip
UPDATE = Command(
    "update",
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers",
    _FLAGS,
    operands=(1, ANY),
    example="wharf update --memory 512m --memory-swap 1g web",
    aliases="wharf container update, wharf update",
)


def update(session: Session, args: list[str]) -> int:
    """Changes containers, running or not."""
    flags, names = UPDATE.parse(args)
    body: dict[str, Any] = {_NAMES[key]: flags[key] for key in _NAMES if key in flags}
    if "restart" in flags:
        body["RestartPolicy"] = restart_policy(flags["restart"])
    if not body:
        raise ExitWith("you must provide one or more flags when using this command")
    warnings: list[str] = []

    def change(name: str) -> None:
        answer = session.client().post(f"/containers/{name}/update", body) or {}
        warnings.extend(answer.get("Warnings") or [])

    status = session.each(names, change)
    for warning in warnings:  # on standard output, behind the names, as docker has it
        session.line(warning)
    return status
