"""cgroup v2: the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst).

A path that ends in `.scope` is systemd's: systemd makes the directory, with this process in it, hands the controllers
down and takes it away when it is empty. Any other path is ours from the hierarchy's root down.
"""

import os
import time
from typing import Any

from wharf.kernel.cgroup import files
from wharf.kernel.cgroup.devices import parse_rules
from wharf.kernel.cgroup.lines import lines_of
from wharf.kernel.cgroup.v2_devices import allow_devices
from wharf.spec.host import CgroupWorld

FREEZE_TRIES = 500
SCOPE_TRIES, SCOPE_PAUSE = 15_000, 0.002  # 30 s, which is what systemd gets for the job too
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids", "hugetlb", "rdma")
MEMORY_COUNTERS = """
anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp inactive_anon active_anon
inactive_file active_file unevictable slab_reclaimable slab_unreclaimable pgfault pgmajfault workingset_refault
workingset_activate workingset_nodereclaim pgrefill pgscan pgsteal pgactivate pgdeactivate pglazyfree pglazyfreed
thp_fault_alloc thp_collapse_alloc
""".split()  # noqa: SIM905
"""What of memory.stat Docker shows, 0 where the kernel has it not."""
_IO_KEYS = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def cpu_weight(shares: int) -> int:
    """cpu.weight (1 to 10000) of v1's shares (2 to 262144)."""
    return 1 + (shares - 2) * 9999 // 262142


def io_weight(weight: int) -> int:
    """io.weight (1 to 10000) of v1's weight (10 to 1000)."""
    return 1 + (weight - 10) * 9999 // 990


def swap_alone(memory: dict[str, Any]) -> int:
    """Swap without memory, as v2 counts it, of OCI's sum of both; -1 is unlimited."""
    swap, limit = int(memory["swap"]), int(memory.get("limit") or 0)
    return -1 if swap < 0 else max(0, swap - max(0, limit))


class CgroupV2:
    """One directory below the unified hierarchy at `root`; `scope`: systemd makes it, as for every `….scope` if that is
    not said."""

    def __init__(self, root: str, path: str, scope: bool | None = None) -> None:
        self.path = path
        self._root = root
        self._dir = root + path
        self._put = files.write
        self._scope = path.endswith(".scope") if scope is None else scope

    def create(self, resources: dict[str, Any]) -> None:
        """Make the directory, with the controllers handed down to it, and write the limits."""
        if self._scope:
            self._await_scope()
        else:
            self._make()
        self._limit_all(resources)

    def _make(self) -> None:
        for attempt in range(files.MAKE_TRIES):  # the end of another container may take the parent away
            try:
                self._hand_down()
                os.mkdir(self._dir, 0o755)
                return
            except FileExistsError:
                return
            except FileNotFoundError:
                if attempt == files.MAKE_TRIES - 1:
                    raise

    def _await_scope(self) -> None:
        """Until systemd has moved the calling process into the scope."""
        for _ in range(SCOPE_TRIES):
            if files.read("/proc/self/cgroup").rstrip("\n").endswith(self.path):
                return
            time.sleep(SCOPE_PAUSE)
        raise OSError(110, "systemd did not make the scope in time", self._dir)

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
                files.make_parent(directory)

    def _write(self, file: str, value: str | int) -> None:
        self._put(f"{self._dir}/{file}", str(value))

    def _has(self, file: str) -> bool:
        return os.path.exists(f"{self._dir}/{file}")

    def limit(self, resources: dict[str, Any]) -> None:
        """Write the limits that are given, all or none."""
        kept = files.Kept()
        self._put = kept.write
        try:
            self._limit_all(resources)
        except OSError:
            kept.take_back()
            raise
        finally:
            self._put = files.write

    def _limit_all(self, resources: dict[str, Any]) -> None:
        """OCI's v1 units turned into those of v2."""
        if resources.get("devices"):
            allow_devices(self._dir, parse_rules(resources["devices"]))
        self._limit_memory(resources.get("memory") or {})
        self._limit_cpu(resources.get("cpu") or {})
        pids = (resources.get("pids") or {}).get("limit")
        if pids is not None:
            self._write("pids.max", "max" if pids <= 0 else pids)
        self._limit_block(resources.get("blockIO") or {})
        for line in lines_of(resources, CgroupWorld.V2):
            if self._has(line.file):
                self._write(line.file, line.text)
            elif not line.optional:
                raise files.LimitRefused(f"cannot set {line.controller} limit: the cgroup has no {line.file}")
        for file, value in (resources.get("unified") or {}).items():
            if "/" in file:
                raise OSError(22, "not a file of a cgroup", file)
            self._write(file, value)

    def _limit_memory(self, memory: dict[str, Any]) -> None:
        limit = memory.get("limit")
        if limit:
            self._write("memory.max", "max" if limit < 0 else limit)
        if memory.get("swap"):
            swap = swap_alone(memory)
            if swap > 0 or self._has("memory.swap.max"):  # without accounting of swap there is none to refuse
                self._write("memory.swap.max", "max" if swap < 0 else swap)
        if memory.get("reservation"):
            self._write("memory.low", "max" if memory["reservation"] < 0 else memory["reservation"])

    def _limit_cpu(self, cpu: dict[str, Any]) -> None:
        if cpu.get("shares"):
            self._write("cpu.weight", cpu_weight(cpu["shares"]))
        if cpu.get("quota") or cpu.get("period"):
            # One file for both: the half that is not given stays as it is.
            now = files.read(f"{self._dir}/cpu.max").split() or ["max", "100000"]
            quota = cpu.get("quota")
            left = now[0] if not quota else "max" if quota < 0 else quota
            self._write("cpu.max", f"{left} {cpu.get('period') or now[1]}")
        for key, file in (("cpus", "cpuset.cpus"), ("mems", "cpuset.mems")):
            if cpu.get(key):
                self._write(file, cpu[key])
        for key, file in (("burst", "cpu.max.burst"), ("idle", "cpu.idle")):  # 0 is a value
            if cpu.get(key) is not None:
                self._write(file, cpu[key])

    def _limit_block(self, block: dict[str, Any]) -> None:
        # BFQ has a file of its own, in v1's units; io.weight is that of the cost model.
        bfq = self._has("io.bfq.weight")
        file = "io.bfq.weight" if bfq else "io.weight"
        if block.get("weight"):
            self._write(file, block["weight"] if bfq else io_weight(block["weight"]))
        for item in block.get("weightDevice") or []:
            weight = item["weight"] if bfq else io_weight(item["weight"])
            self._write(file, f"{item['major']}:{item['minor']} {weight}")
        for key, word in _IO_KEYS.items():
            for item in block.get(key) or []:
                self._write("io.max", f"{item['major']}:{item['minor']} {word}={item['rate'] or 'max'}")

    def join_fds(self) -> list[int]:
        """`cgroup.procs`, into which a process writes "0"."""
        return [os.open(f"{self._dir}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def join_fds_beside(self, pid: int) -> list[int]:
        """`cgroup.procs` of the cgroup, here or below, that `pid` has moved to."""
        below = files.read(f"/proc/{pid}/cgroup").rstrip("\n").partition(self.path)[2]
        return [os.open(f"{self._dir}{below}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

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
        if frozen:
            files.write(f"{self._dir}/cgroup.freeze", "0")  # who was told that it failed will not thaw the rest
        raise OSError(16, "cgroup did not freeze" if frozen else "cgroup did not thaw", self._dir)

    def frozen(self) -> bool:
        """Whether every process is frozen."""
        return files.keyed(f"{self._dir}/cgroup.events").get("frozen") == 1

    def kill(self) -> None:
        """cgroup.kill (5.14), or signals where the kernel is older; a frozen one dies too."""
        files.spare_root(self.path)
        try:
            self._write("cgroup.kill", 1)
        except FileNotFoundError:
            files.kill_until_empty(self.pids)
            return
        for _ in range(files.REMOVE_TRIES):
            if not files.keyed(f"{self._dir}/cgroup.events").get("populated"):
                return
            time.sleep(files.REMOVE_PAUSE)

    def pids(self) -> list[int]:
        """The processes in it and below."""
        return files.all_pids(self._dir, "cgroup.procs")

    def oom_kills(self) -> int:
        """`oom_kill` of memory.events."""
        return files.keyed(f"{self._dir}/memory.events").get("oom_kill", 0)

    def oom_events(self) -> int:
        """memory.events of a scope; -1 for other cgroups, and where memory is not controlled."""
        try:
            return os.open(f"{self._dir}/memory.events", os.O_RDONLY | os.O_CLOEXEC) if self._scope else -1
        except OSError:
            return -1

    def stats(self) -> dict[str, Any]:
        """Usage, in the units the v1 form has; `memory_failures` counts how often the limit was reached in vain."""
        cpu = files.keyed(f"{self._dir}/cpu.stat")
        memory = files.keyed(f"{self._dir}/memory.stat")
        return {
            "world": CgroupWorld.V2.value,
            "cpu_total_ns": cpu.get("usage_usec", 0) * 1000,
            "cpu_user_ns": cpu.get("user_usec", 0) * 1000,
            "cpu_system_ns": cpu.get("system_usec", 0) * 1000,
            "cpu_throttle": cpu,
            "memory_usage": files.number(f"{self._dir}/memory.current"),
            "memory_limit": files.number(f"{self._dir}/memory.max"),
            "memory_failures": files.keyed(f"{self._dir}/memory.events").get("oom", 0),
            "memory": {name: memory.get(name, 0) for name in MEMORY_COUNTERS},
            "pids_current": files.number(f"{self._dir}/pids.current"),
            "pids_limit": files.number(f"{self._dir}/pids.max"),
            "io_bytes": self._io_counters("rbytes", "wbytes"),
            "io_operations": self._io_counters("rios", "wios"),
        }

    def _io_counters(self, read: str, write: str) -> list[dict[str, Any]]:
        """Two counters of each device (io.stat)."""
        found: list[dict[str, Any]] = []
        for line in files.read(f"{self._dir}/io.stat").splitlines():
            device, *pairs = line.split()
            values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
            major, _, minor = device.partition(":")
            for op, key in (("read", read), ("write", write)):
                if major.isdigit() and minor.isdigit() and key in values:
                    found.append({"major": int(major), "minor": int(minor), "op": op, "value": int(values[key])})
        return found

    def remove(self) -> None:
        """Remove the directory; a scope's is left to systemd, which would miss its end otherwise, as long as it is
        quick about it."""
        files.spare_root(self.path)
        for _ in range(files.REMOVE_TRIES if self._scope else 0):
            if not os.path.exists(self._dir):
                return
            time.sleep(files.REMOVE_PAUSE)
        files.remove_directory(self._dir)
        if not self._scope:
            files.remove_made_parents(self._dir, self._root)
