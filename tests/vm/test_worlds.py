"""Pure cgroup v2 on a stock kernel: limits, devices, scopes, delegation, a port."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest import CGROUPS, SYSTEMD, Guest, disk_major, unit, until
from wharf.kernel.probe import probe


@pytest.fixture(scope="module")
def engine() -> Iterator[Guest]:
    with Guest("/var/lib/wharf-vm") as guest:
        guest.load_busybox()
        yield guest


@pytest.fixture
def sleeper(engine: Guest) -> Iterator[str]:
    limits = ("--memory", "64m", "--memory-swap", "96m", "--pids-limit", "50", "--cpu-shares", "512", "--cpus", "0.5")
    engine.wharf("run", "-d", "--name", "sleeper", *limits, "busybox", "sh", "-c", "echo said; exec sleep 1000")
    yield "sleeper"
    engine.wharf("rm", "-f", "sleeper")


def test_the_host_is_what_the_lane_promises(engine: Guest) -> None:
    host = probe()
    info = engine.wharf("info", "--format", "{{.CgroupVersion}} {{.CgroupDriver}}").stdout.split()
    assert info == ["2", "systemd" if SYSTEMD else "cgroupfs"]
    assert host.overlay_lowerdir_append == (tuple(map(int, host.kernel_release.split(".")[:2])) >= (6, 8))


def test_run_exec_logs_and_limits(engine: Guest, sleeper: str) -> None:
    assert engine.wharf("exec", sleeper, "sh", "-c", "echo $((6 * 7)); cat /proc/self/cgroup").stdout == "42\n0::/\n"
    assert engine.wharf("logs", sleeper).stdout == "said\n"
    cgroup = engine.cgroup(sleeper)
    files = ("memory.max", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max")
    values = [(cgroup / name).read_text().strip() for name in files]
    assert values == [str(64 << 20), str(32 << 20), "50", "20", "50000 100000"]
    status, stats = engine.api("GET", f"/containers/{sleeper}/stats?stream=false&one-shot=true")
    assert status == 200 and stats["memory_stats"]["limit"] == 64 << 20 and "max_usage" not in stats["memory_stats"]
    assert 0 < stats["memory_stats"]["usage"] < 64 << 20 and stats["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert stats["pids_stats"] == {"current": 1, "limit": 50}
    assert stats["memory_stats"]["stats"].keys() >= {"anon", "inactive_file"} and "failcnt" not in stats["memory_stats"]
    blocks = dict(stats["blkio_stats"])
    assert blocks.pop("io_service_bytes_recursive") is None or blocks == dict.fromkeys(blocks)
    engine.wharf("run", "-d", "--name", "unlimited", "busybox", "sleep", "1000")
    status, stats = engine.api("GET", "/containers/unlimited/stats?stream=false&one-shot=true")
    most = (engine.cgroup("unlimited") / "pids.max").read_text().strip()
    engine.wharf("rm", "-f", "unlimited")
    assert SYSTEMD or most == "max"  # a scope gets systemd's DefaultTasksMax
    assert status == 200 and stats["pids_stats"] == {
        "current": 1,
        "limit": (1 << 64) - 1 if most == "max" else int(most),
    }


def test_real_time_is_not_for_cgroup_v2(engine: Guest) -> None:
    refused = engine.wharf("create", "--cpu-rt-runtime", "100", "busybox", check=False)
    assert refused.returncode == 1 and "kernel does not support CPU real-time scheduler" in refused.stderr


@pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
def test_a_scope_of_systemd_holds_the_container(engine: Guest, sleeper: str) -> None:
    cgroup = engine.cgroup(sleeper)
    container_id = engine.inspect(sleeper)["Id"]
    assert cgroup.parent == CGROUPS / "system.slice"
    assert cgroup.name.startswith("wharf-") and cgroup.name.endswith(f"-{container_id}.scope")
    names = ("ActiveState", "Slice", "Delegate", "MemoryMax", "MemorySwapMax", "TasksMax", "CPUWeight", "ControlGroup")
    assert unit(cgroup.name, *names, "CPUQuotaPerSecUSec") == {
        "ActiveState": "active",
        "Slice": "system.slice",
        "Delegate": "yes",
        "MemoryMax": str(64 << 20),
        "MemorySwapMax": str(32 << 20),
        "TasksMax": "50",
        "CPUWeight": "20",
        "CPUQuotaPerSecUSec": "500ms",
        "ControlGroup": f"/system.slice/{cgroup.name}",
    }
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert (cgroup / "memory.max").read_text().strip() == str(64 << 20)
    denied = engine.wharf(
        "exec",
        sleeper,
        "sh",
        "-c",
        f"mknod /t/d b {disk_major()} 0 || mknod /d b {disk_major()} 0; head -c1 /d",
        check=False,
    )
    assert "Operation not permitted" in denied.stderr
    # The same name at once again, then none of it.
    engine.wharf("restart", "-t", "0", sleeper)
    assert unit(cgroup.name, "ActiveState") == {"ActiveState": "active"}
    engine.wharf("kill", sleeper)
    until(lambda: unit(cgroup.name, "LoadState") == {"LoadState": "not-found"})
    assert not cgroup.exists()


@pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
def test_slices_as_cgroup_parents(engine: Guest) -> None:
    engine.wharf("run", "-d", "--name", "sliced", "--cgroup-parent", "a-b.slice", "busybox", "sleep", "1000")
    assert engine.cgroup("sliced").parent == CGROUPS / "a.slice/a-b.slice"
    engine.wharf("rm", "-f", "sliced")
    refused = engine.wharf("create", "--cgroup-parent", "/no-slice", "busybox", check=False)
    assert 'cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"' in refused.stderr


def test_memory_above_the_limit_ends_in_an_oom_kill_that_is_recorded(engine: Guest) -> None:
    words = ("--memory", "24m", "--memory-swap", "24m", "busybox", "tail", "/dev/zero")
    assert engine.wharf("run", "--name", "greedy", *words, check=False).returncode == 137
    state = engine.inspect("greedy")["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    engine.wharf("rm", "greedy")


def test_processes_above_the_limit_are_refused(engine: Guest) -> None:
    script = "for n in 1 2 3 4 5 6; do sleep 30 & done; echo not reached"
    out = engine.wharf("run", "--rm", "--pids-limit", "4", "busybox", "sh", "-c", script, check=False)
    assert "can't fork" in out.stderr and "not reached" not in out.stdout


def test_devices_are_denied_unless_allowed(engine: Guest) -> None:
    def run(*flags: str) -> str:
        script = f"[ -e /d ] || mknod /d b {disk_major()} 0; head -c1 /d | wc -c; echo x >>/d && echo wrote"
        out = engine.wharf("run", "--rm", *flags, "busybox", "sh", "-c", script, check=False)
        return " ".join(out.stdout.split()) + (" denied" if "Operation not permitted" in out.stderr else "")

    assert run() == "0 denied"
    assert run("--device", "/dev/vda:/d:r") == "1 denied"
    assert run("--device-cgroup-rule", f"b {disk_major()}:* r") == "1 denied"
    null = "echo y >/dev/null && head -c1 /dev/zero | wc -c"
    assert engine.wharf("run", "--rm", "busybox", "sh", "-c", null).stdout == "1\n"
    assert (
        engine.wharf("run", "--rm", "--privileged", "busybox", "sh", "-c", "head -c1 /dev/vda | wc -c").stdout == "1\n"
    )


def test_pausing_freezes_and_the_end_leaves_no_cgroup(engine: Guest, sleeper: str) -> None:
    cgroup = engine.cgroup(sleeper)
    engine.wharf("pause", sleeper)
    assert "frozen 1" in (cgroup / "cgroup.events").read_text()
    engine.wharf("unpause", sleeper)
    assert "frozen 0" in (cgroup / "cgroup.events").read_text()
    engine.wharf("kill", sleeper)
    until(lambda: not cgroup.exists())


def test_a_limit_changes_while_it_runs(engine: Guest, sleeper: str) -> None:
    limits = {"Memory": 48 << 20, "MemorySwap": 48 << 20, "PidsLimit": 9}
    status, answer = engine.api("POST", f"/containers/{sleeper}/update", limits)
    assert status == 200, answer
    cgroup = engine.cgroup(sleeper)
    assert [(cgroup / name).read_text().strip() for name in ("memory.max", "pids.max")] == [str(48 << 20), "9"]
    if SYSTEMD:
        assert unit(cgroup.name, "MemoryMax", "TasksMax") == {"MemoryMax": str(48 << 20), "TasksMax": "9"}


def test_processors_and_a_reserve_of_memory(engine: Guest) -> None:
    flags = ("--cpuset-cpus", "1", "--cpuset-mems", "0", "--memory-reservation", "32m")
    engine.wharf("run", "-d", "--name", "placed", *flags, "busybox", "sleep", "1000")
    cgroup = engine.cgroup("placed")
    files = {"cpuset.cpus": "1", "cpuset.cpus.effective": "1", "cpuset.mems": "0", "memory.low": str(32 << 20)}
    if SYSTEMD:
        wanted = {"AllowedCPUs": "1", "AllowedMemoryNodes": "0", "MemoryLow": str(32 << 20)}
        assert unit(cgroup.name, *wanted) == wanted
        subprocess.run(["systemctl", "daemon-reload"], check=True)
    assert {name: (cgroup / name).read_text().strip() for name in files} == files
    assert engine.wharf("exec", "placed", "nproc").stdout == "1\n"
    engine.wharf("update", "--cpuset-cpus", "0", "placed")
    assert engine.wharf("exec", "placed", "grep", "Cpus_allowed_list", "/proc/self/status").stdout.split()[-1] == "0"
    engine.wharf("rm", "-f", "placed")


def test_rates_and_weights_of_block_devices(engine: Guest) -> None:
    rates = ("--device-write-bps", "/dev/vda:1mb", "--device-read-iops", "/dev/vda:1000")
    weights = ("--blkio-weight", "500", "--blkio-weight-device", "/dev/vda:200")
    subprocess.run(["modprobe", "-q", "bfq"], check=False)
    Path("/sys/block/vda/queue/scheduler").write_text("bfq")
    try:
        engine.wharf("run", "-d", "--name", "slow", *rates, *weights, "busybox", "sleep", "1000")
        cgroup, disk = engine.cgroup("slow"), f"{disk_major()}:0"
        assert (cgroup / "io.max").read_text() == f"{disk} rbps=max wbps=1048576 riops=1000 wiops=max\n"
        assert (cgroup / "io.bfq.weight").read_text() == f"default 500\n{disk} 200\n"
        if SYSTEMD:
            subprocess.run(["systemctl", "daemon-reload"], check=True)
            assert "wbps=1048576" in (cgroup / "io.max").read_text()
        engine.wharf("rm", "-f", "slow")
    finally:
        Path("/sys/block/vda/queue/scheduler").write_text("none")


def test_layers_upon_layers_mount(engine: Guest) -> None:
    for number in range(3):
        engine.wharf("run", "--name", "layer", "tall" if number else "busybox", "touch", f"/file{number}")
        engine.wharf("commit", "layer", "tall")
        engine.wharf("rm", "layer")
    assert engine.wharf("run", "--rm", "tall", "sh", "-c", "ls -d /file*").stdout.split() == [
        "/file0",
        "/file1",
        "/file2",
    ]


def test_a_published_port_answers(engine: Guest) -> None:
    serve = "mkdir /w; echo welcome >/w/index.html; exec httpd -f -p 8080 -h /w"
    engine.wharf("run", "-d", "--name", "web", "-p", "18080:8080", "busybox", "sh", "-c", serve)

    def answers() -> bool:
        with socket.socket() as client:
            client.settimeout(5)
            try:
                client.connect(("127.0.0.1", 18080))
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return b"welcome" in client.makefile("rb").read()
            except OSError:
                return False

    until(answers)
    engine.wharf("rm", "-f", "web")


def test_exec_into_a_container_that_hands_its_controllers_down(engine: Guest) -> None:
    """As one with systemd inside does: its own cgroup admits no process any more."""
    script = (
        "cd /sys/fs/cgroup && mkdir init && echo 0 >init/cgroup.procs && echo +memory >cgroup.subtree_control && "
        "echo ready && exec sleep 1000"
    )
    engine.wharf("run", "-d", "--name", "nested", "--privileged", "busybox", "sh", "-c", script)
    until(lambda: engine.wharf("logs", "nested").stdout == "ready\n")
    cgroup = engine.cgroup("nested")
    assert cgroup.name == "init" and "memory" in (cgroup.parent / "cgroup.subtree_control").read_text()
    assert engine.wharf("exec", "nested", "cat", "/proc/self/cgroup").stdout == "0::/init\n"
    engine.wharf("rm", "-f", "nested")
    until(lambda: not cgroup.parent.exists())


NAMESPACE = "umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup"
"""The root in sight is somebody's subtree."""
READ_ONLY = "mount --bind /sys/fs/cgroup/delegated /sys/fs/cgroup/delegated && mount -o remount,bind,ro /sys/fs/cgroup"
"""The whole tree is in sight, and only the subtree may be written."""


@pytest.mark.parametrize(("unshare", "mounts"), [("-C -m", NAMESPACE), ("-m", READ_ONLY)], ids=["namespace", "subtree"])
def test_a_delegated_subtree_is_enough(engine: Guest, unshare: str, mounts: str) -> None:
    """wharfd moves into a leaf, since what hands controllers down holds no process, and works below its subtree."""
    top = CGROUPS / "delegated"
    top.mkdir()
    script = f'echo $$ >{top}/cgroup.procs && exec unshare {unshare} sh -c \'{mounts} && exec "$@"\' sh "$@"'
    with Guest("/var/lib/wharf-delegated", "--bip", "10.99.0.1/24", prefix=("sh", "-c", script, "sh")) as inner:
        assert inner.wharf("info", "--format", "{{.CgroupDriver}}").stdout == "cgroupfs\n"
        assert (top / "cgroup.procs").read_text() == ""
        assert inner.process and str(inner.process.pid) in (top / "wharfd/cgroup.procs").read_text().split()
        if not inner.wharf("images", "-q").stdout:
            inner.load_busybox()
        inner.wharf("run", "-d", "--name", "inner", "--memory", "32m", "busybox", "sleep", "1000")
        state = inner.inspect("inner")
        (found,) = top.glob(f"wharf-*/{state['Id']}")
        assert (found / "memory.max").read_text().strip() == str(32 << 20)
        assert str(state["State"]["Pid"]) in (found / "cgroup.procs").read_text().split()
    until(lambda: not list(top.glob("wharf-*")))
    until(lambda: not (top / "wharfd/cgroup.procs").read_text())
    (top / "wharfd").rmdir()
    top.rmdir()


def test_zz_nothing_is_left(engine: Guest) -> None:
    engine.wharf("container", "prune", "-f")
    until(lambda: not [path for path in CGROUPS.rglob("*wharf-*") if path.is_dir() and path.name.endswith(".scope")])
    containers = [path for path in CGROUPS.glob("wharf-*/*") if path.is_dir()]
    assert containers == [] and not os.listdir("/run/wharf-vm/exec/monitors")
