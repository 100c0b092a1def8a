"""Containers through Debian's runc below our monitor: streams, terminal, exec, failure, adoption, and nothing left."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd
from tests.system.runtime.test_userns import Remapped
from wharf.runtime.supervisor import DIED


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


def test_shared_memory_of_another_container(daemon: Wharfd) -> None:
    run(daemon, "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1000")
    try:
        for runtime in ("other", "runc"):
            words = ("run", "--rm", "--runtime", runtime, "--ipc", "container:donor", "busybox")
            daemon.docker(*words, "sh", "-c", f"echo {runtime} >>/dev/shm/seen")
        assert daemon.docker("exec", "donor", "cat", "/dev/shm/seen").stdout == "other\nrunc\n"
        mounts = daemon.docker("exec", "donor", "grep", "-c", " /dev/shm ", "/proc/mounts").stdout
        assert mounts == "1\n"
    finally:
        daemon.docker("rm", "-f", "donor")
    assert left(daemon) == []


@pytest.mark.parametrize("runtime", ["other", "runc"])
def test_what_the_user_mounts_there_is_not_the_donors(daemon: Wharfd, tmp_path: Path, runtime: str) -> None:
    (tmp_path / "mine").write_text("")
    run(daemon, "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "1000")
    try:
        words = ("--runtime", runtime, "--ipc", "container:donor", "-v", f"{tmp_path}:/dev/shm", "busybox")
        assert daemon.docker("run", "--rm", *words, "ls", "/dev/shm").stdout == "mine\n"
    finally:
        daemon.docker("rm", "-f", "donor")


def test_a_part_of_a_volume(daemon: Wharfd) -> None:
    script = "mkdir -p a/b; echo inside >a/b/file; ln -s a/b within; ln -s /etc out"
    run(daemon, "--rm", "-v", "parts:/vol", "-w", "/vol", "busybox", "sh", "-c", script)
    for part, path in (("a/b", "/x/file"), ("within", "/x/file"), ("a/b/file", "/x")):
        mount = f"type=volume,src=parts,dst=/x,volume-subpath={part}"
        assert run(daemon, "--rm", "--mount", mount, "busybox", "cat", path).stdout == "inside\n"
    failed = run(daemon, "--rm", "--mount", "type=volume,src=parts,dst=/x,volume-subpath=out", "busybox", "ls", "/x",
                 check=False)  # fmt: skip
    assert failed.returncode in (125, 127) and failed.stdout == ""
    assert left(daemon) == []


@pytest.mark.parametrize(("word", "out"), [("rshared", True), ("rslave", False), ("rprivate", False)])
def test_mounts_propagate_as_asked(daemon: Wharfd, tmp_path: Path, word: str, out: bool) -> None:
    place = tmp_path / "place"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", place], check=True)
    try:
        subprocess.run(["mount", "--make-shared", place], check=True)
        for name in ("inner", "outer"):
            (place / name).mkdir()
        run(daemon, "-d", "--name", "spread", "--privileged", "-v", f"{place}:/m:{word}", "busybox", "sleep", "1000")
        daemon.docker("exec", "spread", "mount", "-t", "tmpfs", "inner", "/m/inner")
        subprocess.run(["mount", "-t", "tmpfs", "outer", place / "outer"], check=True)
        inside = daemon.docker("exec", "spread", "cat", "/proc/mounts").stdout
        outside = Path("/proc/self/mountinfo").read_text()
    finally:
        daemon.docker("rm", "-f", "spread", check=False)
        subprocess.run(["umount", "-R", place], check=True)
    assert (" /m/outer " in inside) == (word != "rprivate")
    assert (f" {place}/inner " in outside) == out


@pytest.mark.parametrize(
    ("restarted", "reason"),
    [(False, DIED), (True, "the container ended while the engine was not running, and left no record")],
)
def test_a_dead_monitor_takes_the_container_with_it(daemon: Wharfd, restarted: bool, reason: str) -> None:
    """Whether wharfd sees its end, or finds it at the next start."""
    run(daemon, "-d", "--name", "lost", "busybox", "sh", "-c", "sleep 1000 & sleep 1000")
    container = daemon.docker("inspect", "-f", "{{.Id}}", "lost").stdout.strip()
    pids = [line.split()[1] for line in daemon.docker("top", "lost").stdout.splitlines()[1:]]
    assert len(pids) == 2
    state = json.loads((Path(daemon.root) / "exec/monitors" / container / "init.json").read_text())
    if restarted:
        daemon.kill()
    os.kill(state["monitor"], signal.SIGKILL)
    if restarted:
        daemon.start()
    assert daemon.docker("wait", "lost").stdout == "137\n"
    status = daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "lost").stdout
    assert status == f"exited 137 {reason}\n"
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}/exe")]
    assert left(daemon) == [] and not list(Path("/sys/fs/cgroup").glob(f"*/*/{container}"))
    daemon.docker("rm", "lost")


def test_an_id_mapped_bind_and_a_volume_with_options(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    daemon.docker("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=uid=9", "scratch")
    binds = ("-v", f"{tmp_path}:/m:ro,idmap=uids=0-500-1;gids=0-600-1", "-v", "scratch:/s")
    done = run(daemon, "--rm", *binds, "busybox", "sh", "-c", "stat -c %u:%g /m/file /s; touch /m/x", check=False)
    assert (done.stdout, done.returncode) == ("500:600\n9:0\n", 1)
    assert "Read-only file system" in done.stderr
    daemon.docker("volume", "rm", "scratch")
    assert left(daemon) == []


def test_listed_and_default(daemon: Wharfd) -> None:
    told = json.loads(daemon.docker("info", "-f", "{{json .Runtimes}}").stdout)
    assert set(told) == {"runc", "other"} and told["other"]["path"].endswith("/runc")
    assert daemon.docker("info", "-f", "{{.DefaultRuntime}}").stdout == "runc\n"


def test_user_namespaces_are_refused_by_name(runc: str) -> None:
    with Remapped("--add-runtime", f"other={runc}") as daemon:
        daemon.load_busybox()
        refused = run(daemon, "--name", "mapped", "busybox", "true", check=False)
        assert refused.returncode == 125
        assert "user namespaces with another OCI runtime: not there yet" in refused.stderr
        assert daemon.docker("inspect", "-f", "{{.State.Status}}", "mapped").stdout == "created\n"
        assert run(daemon, "--rm", "--userns=host", "busybox", "cat", "/proc/self/uid_map").stdout.split()[1] == "0"
        assert daemon.docker("run", "--rm", "busybox", "cat", "/proc/self/uid_map").stdout.split()[1] != "0"
        assert left(daemon) == []


def test_an_image_mount_is_made_beforehand(daemon: Wharfd) -> None:
    for part, path in (("", "/x/etc/passwd"), (",image-subpath=etc", "/x/passwd")):
        mount = f"type=image,src=busybox,dst=/x{part}"
        out = run(daemon, "--rm", "--mount", mount, "busybox", "sh", "-c", f"cat {path}; touch /x/new", check=False)
        assert "root:" in out.stdout and "Read-only file system" in out.stderr
    assert left(daemon) == []
