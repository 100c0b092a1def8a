"""What the engine finds when it was killed: each state it may have been in."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd

pytestmark = pytest.mark.xdist_group("engine-recovery")


@pytest.fixture
def daemon() -> Iterator[Wharfd]:
    with Wharfd("--live-restore=false") as started:
        started.load_busybox()
        yield started


def inspect(daemon: Wharfd, name: str) -> dict[str, object]:
    state: dict[str, object] = json.loads(daemon.docker("inspect", "-f", "{{json .State}}", name).stdout)
    return state


def killed(daemon: Wharfd, pause: float = 0.0) -> None:
    daemon.kill()
    time.sleep(pause)
    daemon.start()


def test_what_runs_goes_on(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "web", "-p", "18081:80", "busybox", "httpd", "-f", "-h", "/etc")
    before = inspect(daemon, "web")
    killed(daemon)
    assert inspect(daemon, "web") == before
    fetched = subprocess.run(
        [*daemon.enter, "busybox", "wget", "-qO-", "http://127.0.0.1:18081/passwd"], capture_output=True, check=True
    )
    assert fetched.stdout.startswith(b"root:")
    other = daemon.docker("run", "--rm", "-p", "18081:80", "busybox", "true", check=False)
    assert "port is already allocated" in other.stderr
    assert daemon.docker("exec", "web", "echo", "here").stdout == "here\n"
    daemon.docker("stop", "-t", "0", "web")
    assert inspect(daemon, "web")["ExitCode"] == 137
    daemon.docker("run", "--rm", "-p", "18081:80", "busybox", "true")


def test_addresses_are_not_given_twice(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "one", "busybox", "sleep", "100")
    killed(daemon)
    daemon.docker("run", "-d", "--name", "two", "busybox", "sleep", "100")
    addresses = {
        daemon.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).stdout for name in ("one", "two")
    }
    assert len(addresses) == 2


def test_what_ended_meanwhile_has_its_code_and_all_lines(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 0.3; seq 100; exit 42")
    killed(daemon, 0.8)
    state = inspect(daemon, "ends")
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 42, 0)
    assert daemon.docker("logs", "ends").stdout.split() == [str(number) for number in range(1, 101)]


def test_a_lost_monitor_means_137_and_no_process_left(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "lost", "busybox", "sh", "-c", "sleep 100 & sleep 100")
    pid = int(str(inspect(daemon, "lost")["Pid"]))
    container = daemon.docker("inspect", "-f", "{{.Id}}", "lost").stdout.strip()
    state = json.loads(Path(f"{daemon.root}/exec/monitors/{container}/init.json").read_text())
    daemon.kill()
    os.kill(state["monitor"], signal.SIGKILL)
    daemon.start()
    found = inspect(daemon, "lost")
    assert (found["Status"], found["ExitCode"]) == ("exited", 137)
    assert found["Error"]
    # A zombie may remain until this machine's first process reaps it: what ran is gone all the same.
    assert not Path(f"/proc/{pid}/exe").exists()
    assert not Path(f"{daemon.root}/exec/monitors/{container}").exists()


def test_a_monitor_that_dies_under_the_daemon(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "lost", "busybox", "sleep", "100")
    container = daemon.docker("inspect", "-f", "{{.Id}}", "lost").stdout.strip()
    state = json.loads(Path(f"{daemon.root}/exec/monitors/{container}/init.json").read_text())
    os.kill(state["monitor"], signal.SIGKILL)
    assert daemon.docker("wait", "lost").stdout.strip() == "137"
    daemon.docker("start", "lost")
    assert inspect(daemon, "lost")["Status"] == "running"


def test_pause_survives(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "ice", "busybox", "sleep", "100")
    daemon.docker("pause", "ice")
    killed(daemon)
    assert inspect(daemon, "ice")["Status"] == "paused"
    daemon.docker("unpause", "ice")
    assert inspect(daemon, "ice")["Status"] == "running"


def test_a_promised_removal_is_kept(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--rm", "-v", "/data", "--name", "gone", "busybox", "sleep", "0.3")
    killed(daemon, 0.6)
    deadline = time.monotonic() + 10
    while daemon.docker("ps", "-aq").stdout or daemon.docker("volume", "ls", "-q").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_restart_policies(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "0.3")
    daemon.docker("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "busybox", "sleep", "100")
    daemon.docker("stop", "-t", "0", "stopped")
    killed(daemon, 0.6)
    deadline = time.monotonic() + 10
    while inspect(daemon, "always")["Status"] not in ("running", "restarting"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert inspect(daemon, "stopped")["Status"] == "exited"


def test_leftovers_of_a_cut_create_are_removed(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "kept", "busybox", "true")
    kept = daemon.docker("inspect", "-f", "{{.Id}}", "kept").stdout.strip()
    snapshots = Path(f"{daemon.root}/data/snapshots/active")
    stranger = "ab" * 32
    subprocess.run(["cp", "-a", str(snapshots / kept), str(snapshots / stranger)], check=True)
    os.makedirs(f"{daemon.root}/data/containers/{stranger}")
    killed(daemon)
    assert not (snapshots / stranger).exists()
    assert not Path(f"{daemon.root}/data/containers/{stranger}").exists()
    assert daemon.log().count(f"start-up: container {stranger} has no record") == 1
    assert (snapshots / kept).exists()
    daemon.docker("start", "-a", "kept")


def test_layers_that_a_power_loss_took_are_unpacked_again_before_anything_starts(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    daemon.docker(
        "create", "--name", "idle", "--mount", "type=image,src=busybox,dst=/img", "busybox", "ls", "/img/bin/sh"
    )
    daemon.docker("stop", "-t", "0", "always")
    daemon.kill()
    committed = Path(f"{daemon.root}/data/snapshots/committed")
    unsynced = [path / "unsynced" for path in committed.iterdir()]
    assert len(unsynced) > 1  # with the mount points over it
    for path in unsynced:
        path.write_text("another boot")
    inodes = {path.parent.stat().st_ino for path in unsynced}
    daemon.start()
    deadline = time.monotonic() + 10
    while inspect(daemon, "always")["Status"] != "running":
        assert time.monotonic() < deadline, daemon.log()
        time.sleep(0.02)
    assert daemon.docker("start", "-a", "idle").stdout == "/img/bin/sh\n"
    assert daemon.docker("exec", "always", "cat", "/etc/hostname").stdout
    assert not inodes & {path.stat().st_ino for path in committed.iterdir()}, "they were not taken away"


def test_a_clean_stop_takes_containers_along_and_brings_them_back(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "back", "--restart", "always", "busybox", "sleep", "100")
    daemon.docker("run", "-d", "--name", "off", "busybox", "sleep", "100")
    pids = [int(str(inspect(daemon, name)["Pid"])) for name in ("back", "off")]
    daemon.docker("stop", "-t", "0", "off")
    assert daemon.stop() == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    daemon.start()
    deadline = time.monotonic() + 10
    while inspect(daemon, "back")["Status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert inspect(daemon, "off")["Status"] == "exited"
