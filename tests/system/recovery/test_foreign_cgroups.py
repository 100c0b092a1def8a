"""What another runtime left in a hierarchy that ours does not use is gone when the engine ends without containers."""

import os
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd
from wharf.kernel.probe import probe
from wharf.network.names import instance_id
from wharf.spec.host import CgroupWorld


def unified() -> str:
    """Where a hybrid host has the hierarchy of version 2; skips on others."""
    with open("/proc/self/mountinfo") as file:
        points = [words[4] for words in map(str.split, file) if words[words.index("-") + 1] == "cgroup2"]
    if probe().cgroup_world is not CgroupWorld.V1 or not points:
        pytest.skip("the host is not hybrid")
    return points[0]


def test_cgroups_of_a_runtime_that_is_not_configured_any_more() -> None:
    with Wharfd() as daemon:
        parent = Path(unified(), f"wharf-{instance_id(f'{daemon.root}/data')}")
        daemon.load_busybox()
        daemon.docker("run", "--rm", "busybox", "true")
        assert not parent.exists(), "our own runtime leaves this hierarchy alone"
        # As runc makes them, whose containers then end by a kill of their monitors.
        (parent / ("0" * 64) / "init").mkdir(parents=True)
        other = Path(unified(), parent.name + "0")
        other.mkdir()
        try:
            daemon.stop()
            assert not parent.exists()
            assert other.is_dir(), "only the instance's own are touched"
        finally:
            os.rmdir(other)
