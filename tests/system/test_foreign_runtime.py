"""Containers through Debian's runc below our monitor: streams, terminal, exec, failure, adoption, and nothing left."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd


@pytest.fixture(scope="module")
def runc() -> str:
    done = subprocess.run([str(ROOT / "tools/runc-peer")], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no runc to test with: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


@pytest.fixture(scope="module")
def daemon(runc: str) -> Iterator[Wharfd]:
    with Wharfd("--add-runtime", f"other={runc}") as started:
        started.load_busybox()
        yield started


def run(daemon: Wharfd, *words: str, check: bool = True, feed: str | None = None) -> "subprocess.CompletedProcess[str]":
    return daemon.docker("run", "--runtime", "other", *words, check=check, feed=feed)


def left(daemon: Wharfd) -> list[str]:
    """Bundles and cgroups of containers."""
    exec_root = Path(daemon.root) / "exec"
    return [*os.listdir(exec_root / "foreign"), *os.listdir(exec_root / "monitors")]


def test_streams_exit_code_and_network(daemon: Wharfd) -> None:
    done = run(daemon, "--rm", "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 7", check=False, feed="in")
    assert (done.stdout, done.stderr, done.returncode) == ("in", "err\n", 7)
    address = run(daemon, "--rm", "busybox", "ip", "-4", "addr", "show", "eth0").stdout
    assert "inet 172." in address
    assert left(daemon) == []


def test_the_bundle_is_the_runtimes_own(daemon: Wharfd) -> None:
    run(daemon, "-d", "--name", "seen", "-m", "64m", "-u", "7:8", "busybox", "sleep", "1000")
    try:
        container = daemon.docker("inspect", "-f", "{{.Id}} {{.HostConfig.Runtime}} {{.State.Pid}}", "seen").stdout
        name, runtime, pid = container.split()
        config = json.loads((Path(daemon.root) / "exec/foreign" / name / "config.json").read_text())
        assert runtime == "other" and config["linux"]["cgroupsPath"].endswith(name)
        assert config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status and "Uid:\t7\t7\t7\t7" in status and "CapEff:\t0000000000000000" in status
        mounts = Path("/proc/self/mountinfo").read_text()
        assert daemon.root not in mounts, "the container's root is mounted in its own mount namespace alone"
    finally:
        daemon.docker("rm", "-f", "seen")
    assert left(daemon) == []


def test_exec_pause_and_terminal(daemon: Wharfd) -> None:
    run(daemon, "-dt", "--name", "work", "busybox", "sh", "-c", "tty; sleep 1000")
    try:
        assert daemon.docker("exec", "work", "hostname").stdout.strip()
        done = daemon.docker("exec", "-i", "work", "sh", "-c", "cat; exit 4", check=False, feed="x")
        assert (done.stdout, done.returncode) == ("x", 4)
        for _ in range(5):  # one that ends before anybody looks at it
            assert daemon.docker("exec", "work", "true").returncode == 0
        failed = daemon.docker("exec", "work", "nosuch", check=False)
        assert failed.returncode == 127 and "executable file not found in $PATH" in failed.stdout + failed.stderr
        daemon.docker("pause", "work")
        assert daemon.docker("inspect", "-f", "{{.State.Status}}", "work").stdout == "paused\n"
        daemon.docker("unpause", "work")
        assert "/dev/pts/0" in daemon.docker("logs", "work").stdout
    finally:
        daemon.docker("rm", "-f", "work")
    assert left(daemon) == []


def test_what_cannot_start_leaves_nothing(daemon: Wharfd) -> None:
    failed = run(daemon, "--rm", "busybox", "nosuch", check=False)
    assert failed.returncode == 127 and "OCI runtime create failed: runc create failed" in failed.stderr
    failed = run(daemon, "--rm", "-u", "nobodyknows", "busybox", "true", check=False)
    assert "unable to find user nobodyknows: no matching entries in passwd file" in failed.stderr
    failed = daemon.docker("run", "--rm", "--runtime", "nosuch", "busybox", "true", check=False)
    assert failed.returncode == 125 and "unknown or invalid runtime name: nosuch" in failed.stderr
    assert left(daemon) == []


def test_memory_and_its_end(daemon: Wharfd) -> None:
    script = "x=0123456789; while true; do x=$x$x; done"
    run(daemon, "--name", "hungry", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", script, check=False)
    state = daemon.docker("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "hungry").stdout
    daemon.docker("rm", "-f", "hungry")
    assert state == "true 137\n"


def test_adopted_after_kill_of_the_daemon(daemon: Wharfd) -> None:
    run(daemon, "-d", "--name", "kept", "busybox", "sh", "-c", "trap 'exit 9' TERM; while true; do sleep 0.1; done")
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "kept").stdout
    daemon.kill()
    daemon.start()
    assert daemon.docker("inspect", "-f", "{{.State.Pid}}", "kept").stdout == pid
    assert daemon.docker("exec", "kept", "echo", "here").stdout == "here\n"
    daemon.docker("stop", "kept")
    assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "kept").stdout == "9\n"
    daemon.docker("rm", "kept")
    assert left(daemon) == []


def test_listed_and_default(daemon: Wharfd) -> None:
    told = json.loads(daemon.docker("info", "-f", "{{json .Runtimes}}").stdout)
    assert set(told) == {"runc", "other"} and told["other"]["path"].endswith("/runc")
    assert daemon.docker("info", "-f", "{{.DefaultRuntime}}").stdout == "runc\n"
