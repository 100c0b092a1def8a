"""Nothing of the engine's reaches a container: descriptors, environment, mounts, keys, auxiliary vector, program.

By every way in: run, exec, a step of a build, a health check, a copy."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd, docker_client

_LIST_FDS = 'for f in /proc/self/fd/*; do echo "${f##*/} $(readlink $f)"; done'
_ENVIRONMENT = "cat /proc/$$/environ | tr '\\0' '\\n'; true"
"""Of the shell, which stays: busybox runs tr without an exec in the shell's own memory, where nothing is left of it."""
_ENGINE_WORDS = ("wharf", "WHARF", str(ROOT), "memfd", ".venv", "python", "LISTEN_FDS", "NOTIFY_SOCKET")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.environment["SECRET_OF_THE_CLIENT"] = "1"
        running.load_busybox()
        running.docker("run", "-d", "--name", "held", "busybox", "sleep", "300")
        running.docker("run", "-d", "--name", "hostpid", "--pid=host", "busybox", "sleep", "300")
        yield running


_WAYS = {
    "run": ("run", "--rm", "busybox"),
    "run -i": ("run", "--rm", "-i", "busybox"),
    "run -t": ("run", "--rm", "-t", "busybox"),
    "run --pid=host": ("run", "--rm", "--pid=host", "busybox"),
    "run --privileged": ("run", "--rm", "--privileged", "busybox"),
    "exec": ("exec", "held"),
    "exec -i": ("exec", "-i", "held"),
    "exec -t": ("exec", "-t", "held"),
    "exec --pid=host": ("exec", "hostpid"),
}


def _show(daemon: Wharfd, way: str, script: str) -> str:
    return daemon.docker(*_WAYS[way], "sh", "-c", script).stdout.replace("\r", "")


@pytest.mark.parametrize("way", _WAYS)
def test_descriptors(daemon: Wharfd, way: str) -> None:
    found = dict(line.split(" ", 1) for line in _show(daemon, way, _LIST_FDS).splitlines())
    # The shell that expands the pattern has the directory open meanwhile: its own, and gone when it is read.
    extra = {fd: target for fd, target in found.items() if fd not in ("0", "1", "2") and target}
    assert not extra
    assert all(target.startswith(("pipe:", "/dev/null", "/dev/pts/")) for fd, target in found.items() if target)


@pytest.mark.parametrize("way", _WAYS)
def test_environment_and_command_line(daemon: Wharfd, way: str) -> None:
    names = {line.partition("=")[0] for line in _show(daemon, way, _ENVIRONMENT).splitlines()}
    assert "PATH" in names <= {"PATH", "HOSTNAME", "HOME", "TERM", "SHLVL", "PWD"}


_BOTH = f"{_LIST_FDS}; echo ---; {_ENVIRONMENT}"


def _by_build(daemon: Wharfd, script: str, tmp_path: Path) -> str:
    command = json.dumps(["sh", "-c", f"({script}) | cat > /seen"])
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {command}\n")
    daemon.docker("build", "-q", "-t", "leaks", str(tmp_path))
    return daemon.docker("run", "--rm", "leaks", "cat", "/seen").stdout


def _by_health_check(daemon: Wharfd, script: str, _: Path) -> str:
    check = f"({script}) | cat > /new && mv /new /seen"
    flags = ("--name", "checked", "--health-cmd", check, "--health-interval", "300ms")
    daemon.docker("run", "-d", *flags, "busybox", "sleep", "300")
    deadline = time.monotonic() + 20
    while (shown := daemon.docker("exec", "checked", "cat", "/seen", check=False)).returncode:
        assert time.monotonic() < deadline, shown.stderr
    daemon.docker("rm", "-f", "checked")
    return shown.stdout


@pytest.mark.parametrize("show", [_by_build, _by_health_check])
def test_steps_of_a_build_and_health_checks_get_no_more(
    daemon: Wharfd, show: Callable[[Wharfd, str, Path], str], tmp_path: Path
) -> None:
    descriptors, _, environment = show(daemon, _BOTH, tmp_path).partition("---\n")
    found = dict(line.split(" ", 1) for line in descriptors.splitlines())
    assert {"0", "1", "2"} <= found.keys()
    assert not {fd: target for fd, target in found.items() if fd not in ("0", "1", "2") and target}
    assert all(target.startswith(("pipe:", "/dev/null")) for target in found.values() if target)
    names = {line.partition("=")[0] for line in environment.splitlines()}
    assert "PATH" in names <= {"PATH", "HOSTNAME", "HOME", "SHLVL", "PWD"}


@pytest.mark.parametrize("way", ["run", "exec", "run --pid=host"])
def test_mounts_show_no_path_of_the_engine_beside_the_files_of_etc(daemon: Wharfd, way: str) -> None:
    lines = _show(daemon, way, "cat /proc/self/mountinfo").splitlines()
    points = [line.split()[4] for line in lines]
    assert not [point for point in points if daemon.root in point]
    roots = [
        line.split()[3] for line in lines if line.split()[4] not in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    ]
    assert not [root for root in roots if daemon.root in root]


@pytest.mark.parametrize("way", ["run", "exec"])
def test_keyring_cgroup_and_signals(daemon: Wharfd, way: str) -> None:
    assert _show(daemon, way, "cat /proc/keys 2>/dev/null; true") == ""
    text = daemon.docker(*_WAYS[way], "cat", "/proc/self/status").stdout
    status = dict(line.split(":", 1) for line in text.splitlines())
    assert int(status["SigBlk"], 16) == int(status["SigIgn"], 16) == 0
    assert status["TracerPid"].strip() == "0"


@pytest.mark.parametrize("way", ["run", "exec", "exec --pid=host"])
def test_the_program_and_its_vector_are_the_containers(daemon: Wharfd, way: str) -> None:
    assert _show(daemon, way, "readlink /proc/self/exe").strip() in ("/bin/sh", "/bin/busybox")
    vector = _show(daemon, way, "od -An -tx1 -v /proc/self/auxv | tr -d ' \\n'")
    assert bytes.fromhex(vector.strip())
    assert not [word for word in _ENGINE_WORDS if word.encode() in bytes.fromhex(vector.strip())]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def test_a_process_on_its_way_in_cannot_be_reached_from_inside(daemon: Wharfd) -> None:
    """While execs, health checks and copies go in, the container's root tries to read the links of all it sees."""
    grab = """
        while :; do for p in /proc/[0-9]*; do
          case "$(readlink $p/exe 2>/dev/null)" in ""|/bin/*) ;; *) echo "$p $(readlink $p/exe)" >> /seen ;; esac
        done; done
    """
    checks = ("--health-cmd", "true", "--health-interval", "100ms")
    daemon.docker("run", "-d", "--name", "grabber", *checks, "busybox", "sh", "-c", f": > /seen; {grab}")
    command = [docker_client(), "exec", "grabber", "true"]
    running = [subprocess.Popen(command, env=daemon.environment) for _ in range(8)]
    for process in running:
        assert process.wait() == 0
    deadline = time.monotonic() + 20
    for _ in range(8):
        assert time.monotonic() < deadline
        daemon.docker("exec", "grabber", "true")
        daemon.docker("cp", __file__, "grabber:/tmp/")
    assert daemon.docker("exec", "grabber", "cat", "/seen").stdout == ""
    daemon.docker("rm", "-f", "grabber")


def test_with_the_hosts_pids_the_engine_is_only_a_sealed_copy(daemon: Wharfd) -> None:
    """Root of the host may open it by its link; what it gets is a memfd that takes no write."""
    pid = int(daemon.docker("inspect", "-f", "{{.State.Pid}}", "held").stdout)
    monitor = int(next(
        line.split()[1] for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("PPid")
    ))  # fmt: skip
    assert os.readlink(f"/proc/{monitor}/exe").startswith("/memfd:")
    with pytest.raises(OSError):
        os.close(os.open(f"/proc/{monitor}/exe", os.O_WRONLY))
    out = daemon.docker("exec", "hostpid", "sh", "-c", f"echo x > /proc/{monitor}/exe", check=False)
    assert out.returncode != 0
