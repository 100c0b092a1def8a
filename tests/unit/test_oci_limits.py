"""What config.json asks for and this host, or this runtime, cannot give is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wharf.kernel.probe import probe
from wharf.runtime.oci import limits, spec_check
from wharf.runtime.oci.errors import CommandFailed
from wharf.spec.host import CgroupWorld, Host

BLOCK = {"major": 8, "minor": 0}


def _v1(root: Path, *files: str) -> Host:
    mounts = {}
    for file in files:
        controller = file.partition(".")[0]
        mounts[controller] = str(root / controller)
        (root / controller).mkdir(exist_ok=True)
        (root / controller / file).touch()
    return replace(probe(), cgroup_world=CgroupWorld.V1, cgroup_mounts=mounts)


def _v2(root: Path, controllers: str) -> Host:
    (root / "cgroup.controllers").write_text(controllers)
    return replace(probe(), cgroup_world=CgroupWorld.V2, cgroup_mounts={"": str(root)})


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"memory": {"limit": 1}}, "memory.limit"),
        ({"memory": {"swap": 1 << 30}}, "memory.swap"),
        ({"memory": {"swappiness": 0}}, "memory.swappiness"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"cpu": {"realtimeRuntime": 1}}, "cpu.realtimeRuntime"),
        ({"cpu": {"cpus": "0"}}, "cpu.cpus"),
        ({"unified": {"memory.high": "1"}}, "unified"),
        ({"blockIO": {"leafWeight": 10}}, "blockIO.leafWeight"),
        ({"blockIO": {"weightDevice": [{**BLOCK, "leafWeight": 10}]}}, "blockIO.weightDevice"),
    ],
)
def test_limits_that_v1_cannot_apply_are_named(tmp_path: Path, resources: dict[str, Any], named: str) -> None:
    with pytest.raises(CommandFailed, match=f"cannot apply resources.{named}"):
        limits.check(resources, _v1(tmp_path, "pids.max", "cpu.shares"))


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"memory": {"swappiness": 60}}, "memory.swappiness"),
        ({"memory": {"kernelTCP": 1}}, "memory.kernelTCP"),
        ({"memory": {"disableOOMKiller": True}}, "memory.disableOOMKiller"),
        ({"cpu": {"realtimePeriod": 1}}, "cpu.realtimePeriod"),
        ({"pids": {"limit": 7}}, "pids.limit"),
        ({"network": {"priorities": [{"name": "lo", "priority": 1}]}}, "network.priorities"),
    ],
)
def test_limits_that_v2_cannot_apply_are_named(tmp_path: Path, resources: dict[str, Any], named: str) -> None:
    with pytest.raises(CommandFailed, match=f"cannot apply resources.{named}"):
        limits.check(resources, _v2(tmp_path, "cpu memory"))


def test_what_asks_for_nothing_needs_nothing(tmp_path: Path) -> None:
    nothing = {
        "memory": {"limit": -1, "swap": -1, "disableOOMKiller": False},
        "cpu": {"shares": 0},
        "pids": {"limit": 0},
    }
    limits.check(nothing, _v1(tmp_path, "devices.allow"))
    limits.check({"unified": {"memory.high": "1"}, "cpu": {"idle": 1, "shares": 2}}, _v2(tmp_path, "cpu memory"))


def _rule(**more: Any) -> dict[str, Any]:
    return {"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", **more}


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({"syscalls": [_rule(errnoRet=1)]}, "errnoRet 1 is given with the action SCMP_ACT_ALLOW"),
        ({"syscalls": [_rule(names=[])]}, "must have names"),
        ({"defaultErrnoRet": 1}, "defaultErrnoRet 1 is given"),
        ({"architectures": ["SCMP_ARCH_VAX"]}, "SCMP_ARCH_VAX is not a valid arch for seccomp"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(profile: dict[str, Any], text: str) -> None:
    with pytest.raises(CommandFailed, match=text):
        spec_check.check(
            _config(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **profile}), replace(probe(), seccomp=True)
        )


def test_a_mount_label_needs_selinux() -> None:
    with pytest.raises(CommandFailed, match="mountLabel is specified"):
        spec_check.check(_config(mountLabel="a:b:c"), replace(probe(), selinux=False))


def _config(**linux: Any) -> dict[str, Any]:
    process = {"cwd": "/", "args": ["true"]}
    linux["namespaces"] = [{"type": "mount"}]
    return {"ociVersion": "1.2.1", "process": process, "root": {"path": "r"}, "mounts": [], "linux": linux}


def test_capabilities_that_cannot_be_granted_are_known_by_name() -> None:
    process = {"capabilities": {"bounding": ["CAP_KILL", "CAP_FLY"], "effective": ["CAP_CHOWN"], "ambient": None}}
    assert spec_check.not_grantable(process, replace(probe(), capabilities=frozenset({5}))) == ["CAP_CHOWN", "CAP_FLY"]
