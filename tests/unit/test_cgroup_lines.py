"""Limits of huge pages, RDMA and packets, and those of controllers that are not there."""

from pathlib import Path
from typing import Any

import pytest

from wharf.kernel.cgroup.files import LimitRefused
from wharf.kernel.cgroup.lines import lines_of
from wharf.kernel.cgroup.v1 import CgroupV1
from wharf.kernel.cgroup.v2 import CgroupV2
from wharf.spec.host import CgroupWorld

EXTRAS: dict[str, Any] = {
    "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
    "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "none0": {}},
    "cpu": {"quota": 50000, "burst": 1000, "idle": 0},
}
MARKS: dict[str, Any] = {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]}


def _files(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).write_text("")


def _written(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_v1_writes_each_into_its_hierarchy(tmp_path: Path) -> None:
    names = {
        "hugetlb": ("hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.rsvd.limit_in_bytes"),
        "rdma": ("rdma.max",),
        "net_cls": ("net_cls.classid",),
        "net_prio": ("net_prio.ifpriomap",),
        "cpu": ("cpu.cfs_quota_us", "cpu.cfs_burst_us", "cpu.idle"),
    }
    for controller, files in names.items():
        _files(tmp_path / controller / "c", *files)
    CgroupV1({name: str(tmp_path / name) for name in names}, "/c").limit({**EXTRAS, "network": MARKS})
    assert {name: _written(tmp_path / name / "c") for name in names} == {
        "hugetlb": dict.fromkeys(names["hugetlb"], "4194304"),
        "rdma": {"rdma.max": "mlx5_1 hca_handle=3 hca_object=10000"},
        "net_cls": {"net_cls.classid": "1048577"},
        "net_prio": {"net_prio.ifpriomap": "eth0 500"},
        "cpu": {"cpu.cfs_quota_us": "50000", "cpu.cfs_burst_us": "1000", "cpu.idle": "0"},
    }


def test_v2_writes_what_it_has(tmp_path: Path) -> None:
    _files(tmp_path / "c", "hugetlb.2MB.max", "rdma.max", "cpu.max", "cpu.max.burst", "cpu.idle")
    CgroupV2(str(tmp_path), "/c").limit({**EXTRAS, "rdma": {"mlx5_1": {"hcaHandles": 3}}})
    assert _written(tmp_path / "c") == {
        "hugetlb.2MB.max": "4194304",
        "rdma.max": "mlx5_1 hca_handle=3",
        "cpu.max": "50000 100000",
        "cpu.max.burst": "1000",
        "cpu.idle": "0",
    }


@pytest.mark.parametrize(
    ("resources", "controller"),
    [
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, "hugetlb"),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, "rdma"),
        ({"network": {"classID": 1}}, "net_cls"),
        ({"network": {"priorities": [{"name": "eth0", "priority": 1}]}}, "net_prio"),
        ({"memory": {"limit": 1 << 20}}, "memory"),
        ({"pids": {"limit": 5}}, "pids"),
        ({"cpu": {"cpus": "0"}}, "cpuset"),
        ({"blockIO": {"weight": 10}}, "blkio"),
        ({"devices": [{"allow": False}]}, "devices"),
    ],
)
def test_v1_names_the_controller_that_is_not_there(resources: dict[str, Any], controller: str) -> None:
    words = f"cannot set {controller} limit: container could not join or create cgroup"
    with pytest.raises(LimitRefused, match=words):
        CgroupV1({}, "/c").limit(resources)


def test_v1_without_a_controller_needs_none_for_no_limit() -> None:
    CgroupV1({}, "/c").limit({"devices": [{"allow": True}], "memory": {"swap": -1}, "network": {}})


def test_v2_names_what_it_has_not(tmp_path: Path) -> None:
    _files(tmp_path / "c")
    cgroup = CgroupV2(str(tmp_path), "/c")
    for resources, words in (
        ({"rdma": EXTRAS["rdma"]}, r"cannot set rdma limit: the cgroup has no rdma\.max"),
        (
            {"hugepageLimits": EXTRAS["hugepageLimits"]},
            r"cannot set hugetlb limit: the cgroup has no hugetlb\.2MB\.max",
        ),
        ({"network": MARKS}, "limits of cgroup v1: this host has v2"),
    ):
        with pytest.raises(LimitRefused, match=words):
            cgroup.limit(resources)
    cgroup.limit({"memory": {"swap": -1}})
    with pytest.raises(FileNotFoundError, match=r"memory\.swap\.max"):
        cgroup.limit({"memory": {"limit": 0, "swap": 4096}})


@pytest.mark.parametrize(
    "resources",
    [
        {"hugepageLimits": [{"pageSize": "../x", "limit": 1}]},
        {"hugepageLimits": [{"pageSize": "2MB", "limit": -1}]},
        {"hugepageLimits": [{"pageSize": "2MB", "limit": "1"}]},
        {"rdma": {"a b": {"hcaHandles": 1}}},
        {"rdma": {"a": {"hcaHandles": 1 << 32}}},
        {"network": {"classID": -1}},
        {"network": {"priorities": [{"name": 1, "priority": 1}]}},
        {"hugepageLimits": [{"limit": 1}]},
        {"rdma": ["a"]},
        {"network": {"priorities": [{"name": "eth0\nlo", "priority": 1}]}},
    ],
)
def test_what_could_not_be_one_line_of_its_file_is_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(LimitRefused, match=r"invalid|out of range|wrong type"):
        list(lines_of(resources, CgroupWorld.V1))
