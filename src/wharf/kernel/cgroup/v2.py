"""cgroup v2: the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst)."""

import os
import time
from typing import Any

from wharf.kernel.cgroup import files
from wharf.kernel.cgroup.v2_devices import allow_devices

FREEZE_TRIES = 500
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb")


class CgroupV2:
    """One directory below the unified hierarchy at `root`."""

    def __init__(self, root: str, path: str) -> None:
        self.path = path
        self._root = root
        self._dir = root + path

    def create(self, resources: dict[str, Any]) -> None:
        """Make the directory, with the controllers handed down to it, and write the limits."""
        self._hand_down()
        try:
            os.mkdir(self._dir, 0o755)
        except FileExistsError:
            pass
        self.limit(resources)

    def _hand_down(self) -> None:
        """Enable every available controller in each ancestor; one that refuses is left out."""
        directory = self._root
        for part in self.path.strip("/").split("/"):
            available = files.read(f"{directory}/cgroup.controllers").split()
            enabled = files.read(f"{directory}/cgroup.subtree_control").split()
            for name in CONTROLLERS:
                if name in available and name not in enabled:
                    try:
                        files.write(f"{directory}/cgroup.subtree_control", f"+{name}")
                    except OSError:
                        continue
            directory += "/" + part
            if directory != self._dir:
                try:
                    os.mkdir(directory, 0o755)
                except FileExistsError:
                    continue

    def limit(self, resources: dict[str, Any]) -> None:
        """Write the limits that are given, OCI's v1 units turned into those of v2."""
        if resources.get("devices"):
            allow_devices(self._dir, resources["devices"])
        self._limit_memory(resources.get("memory") or {})
        self._limit_cpu(resources.get("cpu") or {})
        pids = (resources.get("pids") or {}).get("limit")
        if pids is not None:
            files.write(f"{self._dir}/pids.max", "max" if pids <= 0 else str(pids))
        weight = (resources.get("blockIO") or {}).get("weight")
        if weight:
            files.write(f"{self._dir}/io.weight", str(1 + (weight - 10) * 9999 // 990))

    def _limit_memory(self, memory: dict[str, Any]) -> None:
        limit, swap = memory.get("limit"), memory.get("swap")
        if limit:
            files.write(f"{self._dir}/memory.max", "max" if limit < 0 else str(limit))
        if swap and os.path.exists(f"{self._dir}/memory.swap.max"):
            only_swap = "max" if swap < 0 else str(max(0, swap - max(0, limit or 0)))
            files.write(f"{self._dir}/memory.swap.max", only_swap)
        if memory.get("reservation"):
            files.write(f"{self._dir}/memory.low", str(memory["reservation"]))

    def _limit_cpu(self, cpu: dict[str, Any]) -> None:
        if cpu.get("shares"):
            files.write(f"{self._dir}/cpu.weight", str(1 + (cpu["shares"] - 2) * 9999 // 262142))
        if cpu.get("quota") or cpu.get("period"):
            quota = cpu.get("quota") or -1
            files.write(f"{self._dir}/cpu.max", f"{'max' if quota < 0 else quota} {cpu.get('period') or 100000}")
        for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
            if cpu.get(key):
                files.write(f"{self._dir}/{file}", str(cpu[key]))

    def join_fds(self) -> list[int]:
        """`cgroup.procs`, into which a process writes "0"."""
        return [os.open(f"{self._dir}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def mount_points(self) -> dict[str, str]:
        """The one directory, under the key ""."""
        return {"": self._dir}

    def freeze(self, frozen: bool) -> None:
        """cgroup.freeze, then wait for `frozen` in cgroup.events."""
        files.write(f"{self._dir}/cgroup.freeze", "1" if frozen else "0")
        for _ in range(FREEZE_TRIES):
            if self.frozen() == frozen:
                return
            time.sleep(files.REMOVE_PAUSE)
        raise OSError(16, "cgroup did not freeze" if frozen else "cgroup did not thaw", self._dir)

    def frozen(self) -> bool:
        """Whether every process is frozen."""
        return files.keyed(f"{self._dir}/cgroup.events").get("frozen") == 1

    def kill(self) -> None:
        """cgroup.kill (5.14), or signals where the kernel is older."""
        try:
            files.write(f"{self._dir}/cgroup.kill", "1")
        except FileNotFoundError:
            files.kill_until_empty(self.pids)

    def pids(self) -> list[int]:
        """The processes in it and below."""
        return files.all_pids(self._dir, "cgroup.procs")

    def oom_kills(self) -> int:
        """`oom_kill` of memory.events."""
        return files.keyed(f"{self._dir}/memory.events").get("oom_kill", 0)

    def stats(self) -> dict[str, Any]:
        """Usage, in the units the v1 form has."""
        cpu = files.keyed(f"{self._dir}/cpu.stat")
        return {
            "cpu_total_ns": cpu.get("usage_usec", 0) * 1000,
            "cpu_user_ns": cpu.get("user_usec", 0) * 1000,
            "cpu_system_ns": cpu.get("system_usec", 0) * 1000,
            "cpu_throttle": cpu,
            "cpu_per_cpu_ns": [],
            "memory_usage": files.number(f"{self._dir}/memory.current"),
            "memory_max_usage": files.number(f"{self._dir}/memory.peak"),
            "memory_limit": files.number(f"{self._dir}/memory.max"),
            "memory_failures": files.keyed(f"{self._dir}/memory.events").get("max", 0),
            "memory": files.keyed(f"{self._dir}/memory.stat"),
            "pids_current": files.number(f"{self._dir}/pids.current"),
            "pids_limit": files.number(f"{self._dir}/pids.max"),
        }

    def remove(self) -> None:
        """Remove the directory."""
        files.remove_directory(self._dir)
