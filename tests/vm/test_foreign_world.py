"""Another OCI runtime on pure cgroup v2, under either init: its cgroups are where ours would be, and go with it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest import CGROUPS, SYSTEMD, Guest, unit, until

RUNC = "/repo/bin/runc"


@pytest.fixture(scope="module")
def engine() -> Iterator[Guest]:
    with Guest("/var/lib/wharf-vm-foreign", "--add-runtime", f"other={RUNC}") as guest:
        guest.load_busybox()
        yield guest


def run(engine: Guest, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return engine.wharf("run", "--runtime", "other", *words, check=check)


def test_run_exec_limits_and_the_end(engine: Guest) -> None:
    assert run(engine, "--rm", "busybox", "sh", "-c", "echo said; exit 3", check=False).returncode == 3
    run(engine, "-d", "--name", "work", "-m", "64m", "--pids-limit", "50", "busybox", "sleep", "1000")
    cgroup = engine.cgroup("work")
    assert (cgroup / "memory.max").read_text().strip() == str(64 << 20)
    assert (cgroup / "pids.max").read_text().strip() == "50"
    assert engine.wharf("exec", "work", "cat", "/proc/self/cgroup").stdout == "0::/\n"
    denied = engine.wharf(
        "exec", "work", "sh", "-c", "mknod /d c 5 1; head -c0 /d; mknod /e c 1 1; head -c1 /e", check=False
    )
    assert "Operation not permitted" in denied.stderr
    engine.wharf("pause", "work")
    assert (cgroup / "cgroup.freeze").read_text() == "1\n"
    engine.wharf("unpause", "work")
    engine.wharf("update", "--pids-limit", "60", "work")
    assert (cgroup / "pids.max").read_text().strip() == "60"
    if SYSTEMD:
        assert cgroup.parent == CGROUPS / "system.slice" and cgroup.name.startswith("wharf-")
        assert unit(cgroup.name, "ActiveState", "Delegate", "MemoryMax", "TasksMax") == {
            "ActiveState": "active", "Delegate": "yes", "MemoryMax": str(64 << 20), "TasksMax": "60",
        }  # fmt: skip
    engine.wharf("stop", "-t", "0", "work")
    until(lambda: not cgroup.exists())
    if SYSTEMD:
        until(lambda: unit(cgroup.name, "LoadState") == {"LoadState": "not-found"})
    engine.wharf("start", "work")
    assert engine.cgroup("work") == cgroup
    engine.wharf("rm", "-f", "work")
    until(lambda: not cgroup.exists())
    assert not list(Path(engine.run_root, "exec/foreign").iterdir())


def test_memory_and_its_end(engine: Guest) -> None:
    script = "x=0123456789; while true; do x=$x$x; done"
    out = run(
        engine, "--name", "hungry", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", script, check=False
    )
    state = engine.inspect("hungry")["State"]
    engine.wharf("rm", "-f", "hungry")
    assert (out.returncode, state["OOMKilled"], state["ExitCode"]) == (137, True, 137)


@pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
def test_a_slice_of_the_users(engine: Guest) -> None:
    run(engine, "-d", "--name", "sliced", "--cgroup-parent", "own-part.slice", "busybox", "sleep", "1000")
    cgroup = engine.cgroup("sliced")
    engine.wharf("rm", "-f", "sliced")
    assert cgroup.parent == CGROUPS / "own.slice/own-part.slice"
    until(lambda: not cgroup.exists())
