"""Flags of `docker run` about the first process and its place: init, signals, parents, what the kernel cannot do."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd, docker_client
from wharf.engine.devices import find_init
from wharf.kernel.probe import probe
from wharf.spec.host import CgroupWorld

_MOUNTS = probe().cgroup_mounts
_only_v1 = pytest.mark.skipif(probe().cgroup_world is not CgroupWorld.V1, reason="reads the files of cgroup v1")
GRACE = 10.0
"""Seconds that `stop` waits where nothing else is said."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


def _shell(daemon: Wharfd, *words: str) -> str:
    *flags, script = words
    return daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", script).stdout


def _await_ready(daemon: Wharfd, name: str) -> None:
    """Until the container has said so: its traps are set then."""
    command = [docker_client(), "logs", "-f", name]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "ready\n"
        logs.kill()


@_only_v1
def test_oom_killer_is_switched_off(daemon: Wharfd) -> None:
    show = "cat /sys/fs/cgroup/memory/memory.oom_control"
    assert _shell(daemon, "-m", "32m", "--oom-kill-disable", show).startswith("oom_kill_disable 1\n")
    assert _shell(daemon, "-m", "32m", show).startswith("oom_kill_disable 0\n")


@_only_v1
def test_kernel_memory_is_taken_and_ignored(daemon: Wharfd) -> None:
    """The client dropped it with the kernels that had it: nothing reaches the daemon."""
    show = "cat /sys/fs/cgroup/memory/memory.kmem.limit_in_bytes"
    assert _shell(daemon, "--kernel-memory", "64m", show) == _shell(daemon, show)


@_only_v1
def test_real_time_period(daemon: Wharfd) -> None:
    shown = _shell(daemon, "--cpu-rt-period", "500000", "cat /sys/fs/cgroup/cpu/cpu.rt_period_us")
    assert shown == "500000\n"


@_only_v1
def test_real_time_that_the_parent_has_not_is_refused(daemon: Wharfd) -> None:
    name = daemon.docker("create", "--cpu-rt-runtime", "1000", "busybox", "true").stdout.strip()
    done = daemon.docker("start", name, check=False)
    assert "unable to start container process: unable to apply cgroup configuration: failed to write" in done.stderr
    assert "cpu.rt_runtime_us: invalid argument" in done.stderr
    assert not any(name in names for root in _MOUNTS.values() for _, names, _ in os.walk(root))
    daemon.docker("rm", name)


def test_cgroup_parent_is_made_and_goes_with_the_last_container(daemon: Wharfd) -> None:
    parent = f"/parent-{os.getpid()}/inner"
    tops = {root + os.path.dirname(parent) for root in _MOUNTS.values()}
    names = [
        daemon.docker("run", "-d", "--cgroup-parent", parent, "busybox", "sleep", "1000").stdout.strip()
        for _ in range(2)
    ]
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", names[0]).stdout.strip()
    with open(f"/proc/{pid}/cgroup") as file:
        assert f"{parent}/{names[0]}" in file.read()
    daemon.docker("rm", "-f", names[0])
    assert all(os.path.isdir(top) for top in tops)
    daemon.docker("rm", "-f", names[1])
    assert not [top for top in tops if os.path.exists(top)]


def test_annotations_are_kept_and_need_a_name(daemon: Wharfd) -> None:
    name = daemon.docker("create", "--annotation", "a.b=c", "busybox", "true").stdout.strip()
    shown = daemon.docker("inspect", "-f", "{{json .HostConfig.Annotations}}", name)
    assert shown.stdout == '{"a.b":"c"}\n'
    daemon.docker("rm", name)
    refused = daemon.docker("create", "--annotation", "=x", "busybox", "true", check=False)
    assert "the empty string is not permitted as an annotation key" in refused.stderr


def test_annotations_reach_the_runtime(tmp_path: Path) -> None:
    """A runtime that keeps the specification it was given, and is ours otherwise."""
    seen, program = tmp_path / "seen.json", tmp_path / "keeping"
    own = ROOT / ".venv/bin/wharf-runtime"
    keep = f'while [ $# -gt 0 ]; do [ "$1" != --bundle ] || cp "$2/config.json" {seen}; shift; done'
    program.write_text(f'#!/bin/sh\n(case " $* " in *" create "*) {keep};; esac)\nexec {own} "$@"\n')
    program.chmod(0o755)
    with Wharfd("--add-runtime", f"keeping={program}") as running:
        running.load_busybox()
        running.docker("run", "--rm", "--runtime", "keeping", "--annotation", "a.b=c", "busybox", "true")
    assert json.loads(seen.read_text())["annotations"]["a.b"] == "c"


def test_isolation_is_that_of_linux(daemon: Wharfd) -> None:
    assert _shell(daemon, "--isolation", "default", "echo $$") == "1\n"
    refused = daemon.docker("run", "--rm", "--isolation", "hyperv", "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "linux only supports 'default'" in refused.stderr


@pytest.mark.skipif(not find_init(), reason="no small init on this host")
def test_init_reaps_what_others_leave(daemon: Wharfd) -> None:
    # The shell in the middle ends at once; its child is an orphan that has ended when the last one looks.
    script = (
        "readlink /proc/1/exe; sh -c '(sleep 0.05 & echo $! >/orphan)'; "
        "while test -d /proc/$(cat /orphan); do :; done; echo $$"
    )
    first, own = _shell(daemon, "--init", script).split()
    assert first == "/sbin/docker-init"
    assert own != "1"


def test_stop_signal(daemon: Wharfd) -> None:
    script = "trap 'exit 33' USR1; echo ready; while :; do sleep 0.05; done"
    name = daemon.docker("run", "-d", "--stop-signal", "USR1", "busybox", "sh", "-c", script).stdout.strip()
    _await_ready(daemon, name)
    daemon.docker("stop", name)
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout == "33\n"
    daemon.docker("rm", name)


def test_stop_timeout(daemon: Wharfd) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    name = daemon.docker("run", "-d", "--stop-timeout", "1", "busybox", "sh", "-c", script).stdout.strip()
    _await_ready(daemon, name)
    began = time.monotonic()
    daemon.docker("stop", name)
    assert 1.0 <= time.monotonic() - began < GRACE
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout == "137\n"
    daemon.docker("rm", name)


def test_runtime_that_nobody_added(daemon: Wharfd) -> None:
    done = daemon.docker("create", "--runtime", "bogus", "busybox", "true", check=False)
    assert done.returncode == 1
    assert "unknown or invalid runtime name: bogus" in done.stderr
