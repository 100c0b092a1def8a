"""`update`: limits in the kernel at once, kept for the next start, and refused in Docker's words."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.support.wharfd import ROOT, Wharfd, docker_client
from wharf.kernel.cgroup.support import supported
from wharf.kernel.probe import probe
from wharf.spec.host import CgroupWorld

_IDLE = ("busybox", "sleep", "1000")
_V1 = {
    "shares": "/sys/fs/cgroup/cpu/cpu.shares",
    "quota": "/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
    "period": "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
    "realtime": "/sys/fs/cgroup/cpu/cpu.rt_period_us",
    "cpus": "/sys/fs/cgroup/cpuset/cpuset.cpus",
    "memory": "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "swap": "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
    "reservation": "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes",
    "pids": "/sys/fs/cgroup/pids/pids.max",
}
pytestmark = pytest.mark.skipif(probe().cgroup_world is not CgroupWorld.V1, reason="reads the files of cgroup v1")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


@pytest.fixture
def box(daemon: Wharfd) -> Iterator[str]:
    name = daemon.docker("run", "-d", "-m", "64m", *_IDLE).stdout.strip()
    yield name
    daemon.docker("rm", "-f", name)


def _inside(daemon: Wharfd, name: str, what: str) -> str:
    return daemon.docker("exec", name, "cat", _V1[what]).stdout.strip()


@pytest.mark.parametrize(
    ("flags", "what", "value"),
    [
        (["--cpu-shares", "333"], "shares", "333"),
        (["--cpus", "0.5"], "quota", "50000"),
        (["--cpu-quota", "30000"], "quota", "30000"),
        (["--cpu-period", "50000"], "period", "50000"),
        (["--cpuset-cpus", "0"], "cpus", "0"),
        (["--cpu-rt-period", "500000"], "realtime", "500000"),
        (["-m", "32m"], "memory", str(32 << 20)),
        (["-m", "256m", "--memory-swap", "512m"], "memory", str(256 << 20)),
        (["-m", "256m", "--memory-swap", "512m"], "swap", str(512 << 20)),
        (["--memory-swap", "100m"], "swap", str(100 << 20)),
        (["--memory-reservation", "16m"], "reservation", str(16 << 20)),
        (["--pids-limit", "17"], "pids", "17"),
    ],
)
def test_limits_change_at_once_and_stay(daemon: Wharfd, box: str, flags: list[str], what: str, value: str) -> None:
    assert _inside(daemon, box, what) != value
    daemon.docker("update", *flags, box)
    assert _inside(daemon, box, what) == value
    daemon.docker("restart", "-t", "0", box)
    assert _inside(daemon, box, what) == value


def test_limit_of_processes_goes_away(daemon: Wharfd, box: str) -> None:
    daemon.docker("update", "--pids-limit", "17", box)
    daemon.docker("update", "--pids-limit", "-1", box)
    assert _inside(daemon, box, "pids") == "max"


def test_stopped_container_has_it_at_its_start(daemon: Wharfd) -> None:
    name = daemon.docker("create", *_IDLE).stdout.strip()
    daemon.docker("update", "--cpu-shares", "77", "--restart", "on-failure:3", name)
    shown = daemon.docker(
        "inspect", "-f", "{{.HostConfig.CpuShares}} {{json .HostConfig.RestartPolicy}}", name
    ).stdout.strip()
    assert shown == '77 {"MaximumRetryCount":3,"Name":"on-failure"}'
    daemon.docker("start", name)
    assert _inside(daemon, name, "shares") == "77"
    daemon.docker("rm", "-f", name)


@pytest.mark.parametrize(
    ("made", "flags", "words"),
    [
        (["--cpus", "0.5"], ["--cpu-quota", "20000"], "CPU Quota cannot be updated as NanoCPUs has already been set"),
        (["--cpus", "0.5"], ["--cpu-period", "20000"], "CPU Period cannot be updated as NanoCPUs has already been set"),
        (["--cpu-quota", "20000"], ["--cpus", "1"], "Nano CPUs cannot be updated as CPU Quota has already been set"),
        (["--cpu-period", "20000"], ["--cpus", "1"], "Nano CPUs cannot be updated as CPU Period has already been set"),
        (["-m", "8m"], ["-m", "64m"], "Memory limit should be smaller than already set memoryswap limit"),
        (["--rm"], ["--restart", "always"], "Restart policy cannot be updated because AutoRemove is enabled"),
        ([], ["-m", "4m"], "Minimum memory limit allowed is 6MB"),
    ],
)
def test_refusals(daemon: Wharfd, made: list[str], flags: list[str], words: str) -> None:
    name = daemon.docker("create", *made, *_IDLE).stdout.strip()
    before = daemon.docker("inspect", "-f", "{{json .HostConfig}}", name).stdout
    answer = daemon.docker("update", *flags, name, check=False)
    assert answer.returncode == 1
    assert words in answer.stderr
    assert daemon.docker("inspect", "-f", "{{json .HostConfig}}", name).stdout == before
    daemon.docker("rm", "-f", name)


def test_what_the_kernel_refuses_changes_nothing(daemon: Wharfd, box: str) -> None:
    """Real time that the parent cgroup has not: all that was written before it in the same request is taken back."""
    watched = ("memory", "swap", "reservation", "shares", "period", "pids")
    before = {what: _inside(daemon, box, what) for what in watched}
    record = daemon.docker("inspect", "-f", "{{json .HostConfig}}", box).stdout
    limits = ["-m", "32m", "--memory-reservation", "16m", "-c", "99", "--cpu-period", "50000", "--pids-limit", "17"]
    answer = daemon.docker("update", *limits, "--cpu-rt-runtime", "100", box, check=False)
    assert answer.returncode == 1
    assert f"Cannot update container {box}: runc did not terminate successfully: exit status 1: " in answer.stderr
    assert "cpu.rt_runtime_us: invalid argument" in answer.stderr
    assert daemon.docker("inspect", "-f", "{{json .HostConfig}}", box).stdout == record
    assert {what: _inside(daemon, box, what) for what in watched} == before


def test_memory_that_is_in_use_is_not_taken_away(daemon: Wharfd) -> None:
    """Half-way too: shares cannot stay changed when the memory's limit is refused."""
    script = "head -c 24m /dev/zero >/dev/shm/x; echo full; sleep 1000"
    flags = ["-m", "64m", "--memory-swap", "64m", "--shm-size", "32m"]
    name = daemon.docker("run", "-d", *flags, "busybox", "sh", "-c", script).stdout.strip()
    command = [docker_client(), "logs", "-f", name]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "full\n"
        logs.kill()
    before = {what: _inside(daemon, name, what) for what in ("memory", "swap", "shares")}
    answer = daemon.docker("update", "-m", "8m", "--memory-swap", "8m", "-c", "99", name, check=False)
    assert answer.returncode == 1
    assert "device or resource busy" in answer.stderr
    assert {what: _inside(daemon, name, what) for what in ("memory", "swap", "shares")} == before
    daemon.docker("rm", "-f", name)


def test_a_set_of_what_is_not_there_is_refused(daemon: Wharfd, box: str) -> None:
    answer = daemon.docker("update", "--cpu-shares", "99", "--cpuset-mems", "63", box, check=False)
    assert answer.returncode == 1
    assert "Requested memory nodes are not available - requested 63" in answer.stderr


def test_limits_that_the_kernel_has_not_are_told(daemon: Wharfd, box: str) -> None:
    if supported(probe().cgroup_mounts).weight:
        pytest.skip("this kernel has weights of block devices")
    theirs = daemon.docker("update", "--blkio-weight", "300", box)
    assert theirs.stdout.startswith(f"{box}\nYour kernel does not support Block I/O weight")
    ours = _wharf(daemon, "update", "--blkio-weight", "300", box)
    assert (ours.returncode, ours.stdout, ours.stderr) == (0, theirs.stdout, "")


def _wharf(daemon: Wharfd, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / ".venv/bin/wharf"), *words]
    return subprocess.run(command, env=daemon.environment, capture_output=True, text=True, timeout=30, check=False)


def test_own_command_line(daemon: Wharfd, box: str) -> None:
    done = _wharf(daemon, "update", "--cpus", "0.25", "--pids-limit", "19", "--restart", "on-failure:2", box)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{box}\n", "")
    assert _inside(daemon, box, "quota") == "25000"
    assert _inside(daemon, box, "pids") == "19"
    policy = daemon.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.MaximumRetryCount}}", box).stdout
    assert policy == "2\n"


def test_own_command_line_wants_a_flag(daemon: Wharfd, box: str) -> None:
    own = _wharf(daemon, "update", box)
    other = daemon.docker("update", box, check=False)
    assert (own.returncode, own.stderr) == (other.returncode, other.stderr)
