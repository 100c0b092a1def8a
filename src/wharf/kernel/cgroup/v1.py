"""cgroup v1: one hierarchy per controller (Documentation/admin-guide/cgroup-v1)."""

import os
import time
from typing import Any

from wharf.kernel.cgroup import files
from wharf.kernel.cgroup.devices import ALL_DEVICES, parse_rules, v1_lines
from wharf.kernel.cgroup.lines import lines_of
from wharf.spec.host import CgroupWorld

UNLIMITED = 0x7FFFFFFFFFFFF000
FREEZE_TRIES = 500


_MEMORY = """
cache rss rss_huge mapped_file dirty writeback pgpgin pgpgout pgfault pgmajfault inactive_anon active_anon
inactive_file active_file unevictable
""".split()  # noqa: SIM905
MEMORY_COUNTERS = frozenset(
    (*_MEMORY, *(f"total_{name}" for name in _MEMORY), "hierarchical_memory_limit", "hierarchical_memsw_limit")
)
"""What of memory.stat Docker shows; newer kernels write more."""


class CgroupV1:
    """A path below each hierarchy. `roots`: controller -> mount point (`name=systemd` is a hierarchy too)."""

    def __init__(self, roots: dict[str, str], path: str) -> None:
        self.path = path
        self._put = files.write
        self._dirs = {name: root + path for name, root in roots.items()}

    def create(self, resources: dict[str, Any]) -> None:
        """Make a directory in each hierarchy and write the limits."""
        for name, directory in self._dirs.items():
            fresh = True
            for attempt in range(files.MAKE_TRIES):  # the end of another container may take the parent away
                try:
                    os.mkdir(directory, 0o755)
                    break
                except FileExistsError:
                    fresh = False
                    break
                except FileNotFoundError:
                    if attempt == files.MAKE_TRIES - 1:
                        raise
                    self._make_parents(name, directory)
            if name == "cpuset":
                _inherit_cpuset(directory, fresh)
        self._limit_all(resources)

    def _make_parents(self, name: str, directory: str) -> None:
        parent = os.path.dirname(directory)
        if not os.path.isdir(parent):
            self._make_parents(name, parent)
            files.make_parent(parent)
            if name == "cpuset":
                _inherit_cpuset(parent, fresh=False)

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
        rules = v1_lines(parse_rules(resources.get("devices") or []))
        if "devices" in self._dirs or rules != ALL_DEVICES:  # with no controller nothing keeps it from any
            for file, text in rules:
                self._write("devices", file, text)
        self._limit_memory(resources.get("memory") or {})
        self._limit_cpu(resources.get("cpu") or {})
        pids = (resources.get("pids") or {}).get("limit")
        if pids is not None:
            self._write("pids", "pids.max", "max" if pids <= 0 else str(pids))
        self._limit_block(resources.get("blockIO") or {})
        for line in lines_of(resources, CgroupWorld.V1):
            if not line.optional or os.path.exists(f"{self._dirs[line.controller]}/{line.file}"):
                self._write(line.controller, line.file, line.text)

    def _write(self, controller: str, file: str, value: str) -> None:
        directory = self._dirs.get(controller)
        if directory is None:
            raise files.LimitRefused(f"cannot set {controller} limit: container could not join or create cgroup")
        self._put(f"{directory}/{file}", value)

    def _limit_memory(self, memory: dict[str, Any]) -> None:
        limit, swap = memory.get("limit"), memory.get("swap")
        # The limit of memory with swap may never be below that of memory: raising starts with it, lowering ends so.
        order = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
        directory = self._dirs.get("memory", "")
        if limit and swap and (swap < 0 or swap > files.number(f"{directory}/memory.memsw.limit_in_bytes", UNLIMITED)):
            order.reverse()
        for file, value in order:
            # Without accounting of swap, which lacks the second file, no limit needs no writing.
            if value and (value > 0 or os.path.exists(f"{directory}/{file}")):
                self._write("memory", file, str(value))
        for key, file in (("reservation", "memory.soft_limit_in_bytes"), ("swappiness", "memory.swappiness")):
            if memory.get(key) is not None and (key == "swappiness" or memory[key]):
                self._write("memory", file, str(memory[key]))
        if memory.get("kernelTCP"):
            self._write("memory", "memory.kmem.tcp.limit_in_bytes", str(memory["kernelTCP"]))
        if memory.get("disableOOMKiller"):
            self._write("memory", "memory.oom_control", "1")

    def _limit_cpu(self, cpu: dict[str, Any]) -> None:
        for key, controller, file in (
            ("shares", "cpu", "cpu.shares"),
            ("period", "cpu", "cpu.cfs_period_us"),
            ("quota", "cpu", "cpu.cfs_quota_us"),
            ("realtimePeriod", "cpu", "cpu.rt_period_us"),
            ("realtimeRuntime", "cpu", "cpu.rt_runtime_us"),
            ("cpus", "cpuset", "cpuset.cpus"),
            ("mems", "cpuset", "cpuset.mems"),
        ):
            if cpu.get(key):
                self._write(controller, file, str(cpu[key]))
        if cpu.get("shares"):
            self._check_shares(cpu["shares"])
        for key, file in (("burst", "cpu.cfs_burst_us"), ("idle", "cpu.idle")):  # 0 is a value; bursts need the quota
            if cpu.get(key) is not None:
                self._write("cpu", file, str(cpu[key]))

    def _check_shares(self, wanted: int) -> None:
        """The kernel takes any number and writes the nearest one that it can use."""
        have = files.number(self._dirs.get("cpu", "") + "/cpu.shares", wanted)
        if wanted < have:
            raise files.LimitRefused(f"the minimum allowed cpu-shares is {have}")
        if wanted > have:
            raise files.LimitRefused(f"the maximum allowed cpu-shares is {have}")

    def _limit_block(self, block: dict[str, Any]) -> None:
        if block.get("weight"):
            self._write("blkio", "blkio.weight", str(block["weight"]))
        for item in block.get("weightDevice") or []:
            self._write("blkio", "blkio.weight_device", f"{item['major']}:{item['minor']} {item['weight']}")
        for key, file in (
            ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
            ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
            ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
            ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
        ):
            for item in block.get(key) or []:
                self._write("blkio", file, f"{item['major']}:{item['minor']} {item['rate']}")

    def join_fds(self) -> list[int]:
        """The `tasks` files: a process writes "0" into each; a pid into cgroup.procs takes 10 to 100 times longer."""
        return [os.open(f"{path}/tasks", os.O_WRONLY | os.O_CLOEXEC) for path in self._dirs.values()]

    def join_fds_beside(self, pid: int) -> list[int]:
        """Here: v1 admits processes in inner cgroups."""
        return self.join_fds()

    def mount_points(self) -> dict[str, str]:
        """Controller -> directory of this cgroup on the host."""
        return dict(self._dirs)

    def freeze(self, frozen: bool) -> None:
        """Write the state and wait for it: FREEZING turns into FROZEN when every task has stopped."""
        want = "FROZEN" if frozen else "THAWED"
        path = self._dirs["freezer"] + "/freezer.state"
        for _ in range(FREEZE_TRIES):
            files.write(path, want)
            if self._freezer_state() == want:
                return
            time.sleep(files.REMOVE_PAUSE)
        if frozen:
            files.write(path, "THAWED")  # who was told that it failed will not thaw what has stopped already
        raise OSError(16, f"cgroup did not become {want}", path)

    def frozen(self) -> bool:
        """Whether every process is frozen."""
        return self._freezer_state() == "FROZEN"

    def _freezer_state(self) -> str:
        """THAWED, FREEZING or FROZEN; empty without such a cgroup."""
        return files.read(self._dirs.get("freezer", "") + "/freezer.state").strip()

    def kill(self) -> None:
        """SIGKILL to all; a frozen one is thawed, since the signal waits otherwise."""
        files.spare_root(self.path)
        if self._freezer_state() in ("FREEZING", "FROZEN"):
            files.kill_once(self.pids())
            self.freeze(False)
        files.kill_until_empty(self.pids)

    def pids(self) -> list[int]:
        """The processes, by any one hierarchy."""
        for name in ("pids", "memory", "freezer", *self._dirs):
            if name in self._dirs:
                return files.all_pids(self._dirs[name], "cgroup.procs")
        return []

    def oom_kills(self) -> int:
        """`oom_kill` of memory.oom_control (kernel 4.13)."""
        return files.keyed(self._dirs.get("memory", "") + "/memory.oom_control").get("oom_kill", 0)

    def oom_events(self) -> int:
        """None is needed: the cgroup is removed by its monitor alone."""
        return -1

    def stats(self) -> dict[str, Any]:
        """Usage as the v1 files have it."""
        memory, cpu = self._dirs.get("memory", ""), self._dirs.get("cpuacct", "")
        tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        split = files.keyed(f"{cpu}/cpuacct.stat")
        return {
            "world": CgroupWorld.V1.value,
            "cpu_total_ns": files.number(f"{cpu}/cpuacct.usage"),
            "cpu_user_ns": split.get("user", 0) * tick,
            "cpu_system_ns": split.get("system", 0) * tick,
            "cpu_throttle": files.keyed(self._dirs.get("cpu", "") + "/cpu.stat"),
            "cpu_per_cpu_ns": [int(word) for word in files.read(f"{cpu}/cpuacct.usage_percpu").split()],
            "memory_usage": files.number(f"{memory}/memory.usage_in_bytes"),
            "memory_max_usage": files.number(f"{memory}/memory.max_usage_in_bytes"),
            "memory_limit": files.number(f"{memory}/memory.limit_in_bytes"),
            "memory_failures": files.number(f"{memory}/memory.failcnt"),
            "memory": {
                name: value for name, value in files.keyed(f"{memory}/memory.stat").items() if name in MEMORY_COUNTERS
            },
            "pids_current": files.number(self._dirs.get("pids", "") + "/pids.current"),
            "pids_limit": files.number(self._dirs.get("pids", "") + "/pids.max"),
            "io_bytes": self._block_counters("io_service_bytes_recursive"),
            "io_operations": self._block_counters("io_serviced_recursive"),
        }

    def _block_counters(self, name: str) -> list[dict[str, Any]]:
        """Counters of block devices: those of the throttle, which counts every request (blkio-controller.rst)."""
        found: list[dict[str, Any]] = []
        for line in files.read(f"{self._dirs.get('blkio', '')}/blkio.throttle.{name}").splitlines():
            device, *rest = line.split()
            major, _, minor = device.partition(":")
            if len(rest) == 2 and major.isdigit() and minor.isdigit() and rest[1].isdigit():
                found.append({"major": int(major), "minor": int(minor), "op": rest[0], "value": int(rest[1])})
        return found

    def remove(self) -> None:
        """Remove the directory of every hierarchy, and those above it that were made for it."""
        files.spare_root(self.path)
        for directory in self._dirs.values():
            files.remove_directory(directory)
            files.remove_made_parents(directory, directory.removesuffix(self.path))


def _inherit_cpuset(directory: str, fresh: bool) -> None:
    """An empty cpuset admits no process, and a child starts empty: copy the parent's. `fresh`: it is empty for sure."""
    parent = os.path.dirname(directory)
    for file in ("cpuset.cpus", "cpuset.mems"):
        if not fresh and files.read(f"{directory}/{file}").strip():
            continue
        value = files.read(f"{parent}/{file}").strip()
        if not value:  # another start has made the parent a moment ago and not filled it yet
            _inherit_cpuset(parent, fresh=False)
            value = files.read(f"{parent}/{file}").strip()
        files.write(f"{directory}/{file}", value)
