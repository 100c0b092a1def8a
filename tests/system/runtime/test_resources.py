"""Flags of `docker run` that limit a container, as the kernel shows them inside."""

from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd
from wharf.kernel.probe import probe
from wharf.spec.host import CgroupWorld

_V1 = "/sys/fs/cgroup"
_only_v1 = pytest.mark.skipif(probe().cgroup_world is not CgroupWorld.V1, reason="reads the files of cgroup v1")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


@_only_v1
@pytest.mark.parametrize(
    ("flags", "file", "value"),
    [
        (["-m", "32m"], "memory/memory.limit_in_bytes", str(32 << 20)),
        (["-m", "32m"], "memory/memory.memsw.limit_in_bytes", str(64 << 20)),
        (["-m", "32m", "--memory-swap", "48m"], "memory/memory.memsw.limit_in_bytes", str(48 << 20)),
        (["--memory-reservation", "16m"], "memory/memory.soft_limit_in_bytes", str(16 << 20)),
        (["--memory-swappiness", "7"], "memory/memory.swappiness", "7"),
        (["--cpus", "0.5"], "cpu/cpu.cfs_quota_us", "50000"),
        (["--cpu-period", "50000"], "cpu/cpu.cfs_period_us", "50000"),
        (["--cpu-quota", "30000"], "cpu/cpu.cfs_quota_us", "30000"),
        (["--cpu-shares", "333"], "cpu/cpu.shares", "333"),
        (["--cpuset-cpus", "0"], "cpuset/cpuset.cpus", "0"),
        (["--cpuset-mems", "0"], "cpuset/cpuset.mems", "0"),
        (["--pids-limit", "23"], "pids/pids.max", "23"),
    ],
)
def test_limits_of_cgroups(daemon: Wharfd, flags: list[str], file: str, value: str) -> None:
    assert daemon.docker("run", "--rm", *flags, "busybox", "cat", f"{_V1}/{file}").stdout.strip() == value


@pytest.mark.parametrize(
    ("flags", "command", "value"),
    [
        (["--oom-score-adj", "321"], "cat /proc/self/oom_score_adj", "321"),
        (["--ulimit", "nofile=321:654"], "ulimit -Sn; ulimit -Hn", "321\n654"),
        (["--sysctl", "net.core.somaxconn=77"], "cat /proc/sys/net/core/somaxconn", "77"),
        (["--shm-size", "5m"], "df -k /dev/shm | awk 'END { print $2 }'", "5120"),
        (["--group-add", "4242"], "id -G | grep -o 4242", "4242"),
        (["--mac-address", "02:00:00:00:12:34"], "cat /sys/class/net/eth0/address", "02:00:00:00:12:34"),
    ],
)
def test_limits_of_processes(daemon: Wharfd, flags: list[str], command: str, value: str) -> None:
    assert daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", command).stdout.strip() == value
