"""Change a container's limits or restart policy while it exists: at once where it runs, at its next start else."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wharf.engine.check_resources import check_resources
from wharf.engine.container_events import publish_container_event
from wharf.engine.oci_resources import resources_of
from wharf.engine.validate import check_update
from wharf.errors import Conflict, Internal
from wharf.kernel.cgroup.files import LimitRefused
from wharf.kernel.cgroup.support import supported

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.spec.container import HostConfig

_FIELDS = (
    "blkio_weight",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpuset_cpus",
    "cpuset_mems",
    "memory",
    "memory_swap",
    "memory_reservation",
    "kernel_memory",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
)
"""What an update may change; 0 and "" leave it as it is. The number of processes may be set to 0, no limit."""
_RUNTIME = "runc did not terminate successfully: exit status 1: "
"""Docker's words for a refusal of the kernel; clients and people look for what follows."""
_GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH)


def update_container(engine: Engine, name: str, wanted: HostConfig) -> list[str]:
    """Returns warnings. Raises Invalid, NotFound, Conflict, and Internal when the kernel refuses: the record and all
    limits are as before then."""
    check_update(wanted)
    warnings = check_resources(wanted, supported(engine.host.cgroup_mounts), update=True)
    container = engine.containers.live(name)
    with container.lock:
        record = container.record
        head = f"Cannot update container {record.id}: "
        if record.state.removal_in_progress or record.state.dead:
            raise Internal(head + 'container is marked for removal and cannot be "update"')
        old = record.host_config
        try:
            new = merge_update(old, wanted)
        except Conflict as error:
            raise Conflict(head + error.message) from None
        running = container.running
        limits = changed_limits(old, new, wanted)
        if running is not None and limits:
            try:
                running.limit(limits)
            except OSError as error:
                if error.errno not in _GONE:
                    raise Internal(f"{head}{_RUNTIME}{_words(error)}") from None
        record.host_config = new
        try:
            engine.database.containers.put(record)
        except BaseException:
            record.host_config = old
            raise
    publish_container_event(engine, record, "update")
    return warnings


def _words(error: OSError) -> str:
    """What was written where, and why it failed, as runc words it."""
    if isinstance(error, LimitRefused):
        return str(error)
    step = str(error.strerror or "").rpartition(": ")[0]
    return f"{step} {error.filename}: {os.strerror(error.errno or 0).lower()}"


def merge_update(old: HostConfig, wanted: HostConfig) -> HostConfig:
    """The configuration with what is wanted in it; raises Conflict in Docker's words (without the container)."""
    if wanted.nano_cpus > 0 and old.cpu_period > 0:
        raise Conflict("Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set")
    if wanted.nano_cpus > 0 and old.cpu_quota > 0:
        raise Conflict("Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set")
    if wanted.cpu_period > 0 and old.nano_cpus > 0:
        raise Conflict("Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set")
    if wanted.cpu_quota > 0 and old.nano_cpus > 0:
        raise Conflict("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set")
    if wanted.memory and wanted.memory > old.memory_swap and not wanted.memory_swap:
        raise Conflict(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    given: dict[str, Any] = {key: getattr(wanted, key) for key in _FIELDS if getattr(wanted, key)}
    if wanted.pids_limit is not None:
        given["pids_limit"] = max(0, wanted.pids_limit)
    policy = wanted.restart_policy
    if policy.name:
        if old.auto_remove and policy.name != "no":
            raise Conflict("Restart policy cannot be updated because AutoRemove is enabled for the container")
        given["restart_policy"] = policy
    return replace(old, **given)


def changed_limits(old: HostConfig, new: HostConfig, wanted: HostConfig) -> dict[str, Any]:
    """`linux.resources` of the parts that differ, whole: v2 needs the memory's limit to tell that of swap."""
    before, after = resources_of(old), resources_of(new)
    parts = ("memory", "cpu", "blockIO")
    out = {key: after[key] for key in parts if key in after and after[key] != before.get(key)}
    if "memory" in out:
        # The OOM killer's switch is no part of an update.
        out["memory"] = {key: value for key, value in out["memory"].items() if key != "disableOOMKiller"}
    if new.pids_limit != old.pids_limit:
        # 0 and below take a limit away, which is -1 for the runtime.
        out["pids"] = {"limit": wanted.pids_limit if (wanted.pids_limit or 0) > 0 else -1}
    return out
