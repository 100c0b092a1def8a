"""What a kernel can limit, read off the files of its control groups, and what people are told is missing."""

from pathlib import Path

import pytest

from wharf.engine.info import limit_warnings
from wharf.kernel.cgroup.support import Support, supported
from wharf.kernel.cgroup.v2 import cpu_weight

V1_FILES = {
    "swap": "memory/memory.memsw.limit_in_bytes",
    "reservation": "memory/memory.soft_limit_in_bytes",
    "swappiness": "memory/memory.swappiness",
    "oom_switch": "memory/memory.oom_control",
    "kernel_tcp": "memory/memory.kmem.tcp.limit_in_bytes",
    "shares": "cpu/cpu.shares",
    "cfs": "cpu/cpu.cfs_quota_us",
    "realtime": "cpu/cpu.rt_period_us",
    "weight": "blkio/blkio.weight",
    "device_weight": "blkio/blkio.weight_device",
    "read_bps": "blkio/blkio.throttle.read_bps_device",
    "write_bps": "blkio/blkio.throttle.write_bps_device",
    "read_iops": "blkio/blkio.throttle.read_iops_device",
    "write_iops": "blkio/blkio.throttle.write_iops_device",
}


def _v1(root: Path, *files: str) -> dict[str, str]:
    for name in ("memory", "cpu", "blkio", "pids", "cpuset"):
        (root / name).mkdir()
    for file in files:
        (root / file).write_text("0\n")
    return {path.name: str(path) for path in root.iterdir()}


@pytest.mark.parametrize("missing", V1_FILES)
def test_v1_by_its_files(tmp_path: Path, missing: str) -> None:
    mounts = _v1(tmp_path, *(file for name, file in V1_FILES.items() if name != missing))
    found = supported(mounts)
    assert {name for name in V1_FILES if not getattr(found, name)} == {missing}
    assert found.memory
    assert found.pids
    assert found.cpuset


def test_v2_by_its_controllers(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu memory\n")
    (tmp_path / "cpuset.mems.effective").write_text("0-1\n")
    found = supported({"": str(tmp_path)})
    assert (found.memory, found.shares, found.cpuset, found.mems) == (True, True, True, "0-1")
    assert not any((found.pids, found.weight, found.read_bps))
    assert not any((found.swappiness, found.oom_switch, found.realtime, found.kernel_tcp))


def test_v2_counts_swap_where_a_cgroup_has_the_file(tmp_path: Path) -> None:
    for name, files in (("with", ("memory.max", "memory.swap.max")), ("without", ("memory.max",))):
        (tmp_path / name / "system.slice").mkdir(parents=True)
        (tmp_path / name / "cgroup.controllers").write_text("memory\n")
        for file in files:
            (tmp_path / name / "system.slice" / file).write_text("max\n")
        assert supported({"": str(tmp_path / name)}).swap is (name == "with")


def test_nothing_without_control_groups() -> None:
    assert supported({}) == Support()


def test_info_tells_what_is_missing(tmp_path: Path) -> None:
    assert limit_warnings(supported(_v1(tmp_path, *V1_FILES.values())), v1=True) == []
    (tmp_path / "less").mkdir()
    missing = ("swap", "read_bps", "weight")  # of the last nothing is said: no kernel since 5.0 has it
    less = _v1(tmp_path / "less", *(file for limit, file in V1_FILES.items() if limit not in missing))
    assert limit_warnings(supported(less), v1=True) == [
        "WARNING: No swap limit support",
        "WARNING: No blkio throttle.read_bps_device support",
    ]
    words = limit_warnings(Support(memory=True, swap=True, shares=True, cfs=True, cpuset=True), v1=False)
    assert words == [
        "WARNING: No io.weight (per device) support",
        *(f"WARNING: No io.max ({word}) support" for word in ("rbps", "wbps", "riops", "wiops")),
    ]


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000)])
def test_shares_as_weight(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight
