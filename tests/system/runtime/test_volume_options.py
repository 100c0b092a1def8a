"""Options of the local volume driver: mounted for the first user, unmounted after the last, true after any crash."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import ROOT, Wharfd

pytestmark = pytest.mark.xdist_group("volume-options")
SECONDS = 30.0
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,uid=7,mode=750")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd("--live-restore=false") as started:
        started.load_busybox()
        yield started


@pytest.fixture
def volume(daemon: Wharfd) -> Iterator[str]:
    """A volume in memory that nothing uses."""
    daemon.docker("volume", "create", *TMPFS, "scratch")
    try:
        yield "scratch"
    finally:
        ids = daemon.docker("ps", "-aq").stdout.split()
        daemon.docker("rm", "-f", *ids, check=False)
        daemon.docker("volume", "rm", "scratch", check=False)


def place(daemon: Wharfd, name: str) -> str:
    return daemon.docker("volume", "inspect", "-f", "{{.Mountpoint}}", name).stdout.strip()


def mounted(path: str) -> int:
    """How often something is mounted there."""
    rows = Path("/proc/self/mountinfo").read_text().splitlines()
    return [row.split(" ")[4] for row in rows].count(path)


def until_unmounted(path: str) -> None:
    deadline = time.monotonic() + SECONDS
    while mounted(path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mounted(path) == 0


def run(daemon: Wharfd, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return daemon.docker("run", "--rm", "--network", "none", *words, check=check)


def start(daemon: Wharfd, name: str, *words: str) -> None:
    daemon.docker(
        "run", "-d", "--name", name, "--network", "none", "--stop-timeout", "1", *words, "busybox", "sleep", "1000"
    )


def findings(daemon: Wharfd, *flags: str) -> list[dict[str, object]]:
    command = [str(ROOT / ".venv/bin/wharf"), "-H", daemon.host, "system", "check", "--format", "json", *flags]
    found: list[dict[str, object]] = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
    return found


def test_it_is_mounted_once_and_as_long_as_somebody_uses_it(daemon: Wharfd, volume: str) -> None:
    path = place(daemon, volume)
    assert mounted(path) == 0
    start(daemon, "one", "-v", f"{volume}:/s")
    assert mounted(path) == 1
    inside = daemon.docker("exec", "one", "stat", "-c", "%u %a", "/s").stdout
    assert inside == "7 750\n"
    assert daemon.docker("exec", "one", "df", "-k", "/s").stdout.splitlines()[-1].split()[1] == "1024"
    daemon.docker("exec", "one", "sh", "-c", "echo both >/s/file")
    start(daemon, "two", "--mount", f"type=volume,src={volume},dst=/s,readonly")
    assert mounted(path) == 1
    assert daemon.docker("exec", "two", "cat", "/s/file").stdout == "both\n"
    assert daemon.docker("exec", "two", "touch", "/s/x", check=False).returncode == 1
    daemon.docker("rm", "-f", "one")
    assert mounted(path) == 1
    assert Path(path, "file").read_text() == "both\n"
    daemon.docker("rm", "-f", "two")
    until_unmounted(path)
    assert os.listdir(path) == []
    start(daemon, "three", "-v", f"{volume}:/s")
    assert daemon.docker("exec", "three", "ls", "-A", "/s").stdout == "", "a new use is a new mount"


def test_a_restart_gives_what_a_stop_and_start_gives(daemon: Wharfd, volume: str) -> None:
    start(daemon, "again", "-v", f"{volume}:/s")
    daemon.docker("exec", "again", "touch", "/s/lost")
    daemon.docker("restart", "-t", "0", "again")
    assert mounted(place(daemon, volume)) == 1
    assert daemon.docker("exec", "again", "ls", "-A", "/s").stdout == ""


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_who_uses_it_is_known_after_the_daemon_has_ended(daemon: Wharfd, volume: str, end: str) -> None:
    path = place(daemon, volume)
    start(daemon, "lives", "-v", f"{volume}:/s")
    daemon.docker("exec", "lives", "touch", "/s/kept")
    if end == "kill":
        daemon.kill()
        daemon.start()
        assert findings(daemon) == []
        assert mounted(path) == 1
        assert run(daemon, "-v", f"{volume}:/s", "busybox", "ls", "/s").stdout == "kept\n"
        assert mounted(path) == 1, "the first user still has it"
        daemon.docker("rm", "-f", "lives")
    else:
        daemon.stop()
        assert mounted(path) == 0, "the daemon has stopped its containers"
        daemon.start()
    until_unmounted(path)
    assert findings(daemon) == []


def test_what_ended_while_the_daemon_was_gone_is_unmounted(daemon: Wharfd, volume: str) -> None:
    path = place(daemon, volume)
    start(daemon, "short", "-v", f"{volume}:/s")
    pid = int(daemon.docker("inspect", "-f", "{{.State.Pid}}", "short").stdout)
    daemon.kill()
    os.kill(pid, 9)
    assert mounted(path) == 1
    daemon.start()
    until_unmounted(path)
    assert findings(daemon) == []


def test_check_names_a_mount_that_nobody_uses_and_takes_it_off(daemon: Wharfd, volume: str) -> None:
    path = place(daemon, volume)
    subprocess.run(["mount", "-t", "tmpfs", "stray", path], check=True)
    text = "it is mounted, and no container uses it"
    assert [(item["Kind"], item["Object"], item["Problem"]) for item in findings(daemon)] == [("volume", volume, text)]
    assert [item["Repaired"] for item in findings(daemon, "--repair")] == [True]
    assert mounted(path) == 0
    assert findings(daemon) == []


def test_a_use_never_shows_what_was_left_mounted(daemon: Wharfd, volume: str) -> None:
    path = place(daemon, volume)
    subprocess.run(["mount", "-t", "tmpfs", "stray", path], check=True)
    Path(path, "stray").touch()
    assert run(daemon, "-v", f"{volume}:/s", "busybox", "ls", "-A", "/s").stdout == ""
    until_unmounted(path)


def test_removing_a_volume_never_touches_what_it_shows(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}")
    daemon.docker("volume", "create", *options, "bound")
    path = place(daemon, "bound")
    assert run(daemon, "-v", "bound:/b", "busybox", "cat", "/b/precious").stdout == "data"
    until_unmounted(path)
    subprocess.run(["mount", "--bind", tmp_path, path], check=True)
    daemon.docker("volume", "rm", "bound")
    assert mounted(path) == 0
    daemon.docker("volume", "create", "plain")
    path = place(daemon, "plain")
    subprocess.run(["mount", "--bind", tmp_path, path], check=True)
    try:
        refused = daemon.docker("volume", "rm", "plain", check=False)
        assert "something is mounted in the volume" in refused.stderr
    finally:
        subprocess.run(["umount", path], check=True)
    daemon.docker("volume", "rm", "plain")
    assert (tmp_path / "precious").read_text() == "data"


def test_a_read_only_bind_is_read_only_for_all(daemon: Wharfd, tmp_path: Path) -> None:
    options = ("-o", "type=none", "-o", "o=bind,ro", "-o", f"device={tmp_path}")
    daemon.docker("volume", "create", *options, "boundro")
    out = run(daemon, "-v", "boundro:/b", "busybox", "touch", "/b/x", check=False)
    assert out.returncode == 1
    assert "Read-only file system" in out.stderr
    daemon.docker("volume", "rm", "boundro")
    assert os.listdir(tmp_path) == []


def test_the_kernels_refusal_is_passed_on_and_leaves_nothing(daemon: Wharfd) -> None:
    options = ("-o", "type=nfs", "-o", "device=:/export", "-o", "o=addr=localhost,soft,password=secret")
    daemon.docker("volume", "create", *options, "far")
    path = place(daemon, "far")
    for command in (("run", "--rm"), ("create", "--name", "waits")):
        out = daemon.docker(*command, "--network", "none", "-v", "far:/far", "busybox", "true", check=False)
    assert out.returncode == 0, "made is not mounted: the image has nothing to copy"
    out = daemon.docker("start", "waits", check=False)
    assert out.returncode == 1
    head = f"error while mounting volume '{path}': failed to mount local volume: mount :/export:{path}, data: "
    assert f"{head}addr=127.0.0.1,soft,password=********: " in out.stderr
    assert daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "waits").stdout == "created 128\n"
    assert mounted(path) == 0
    daemon.docker("rm", "waits")
    daemon.docker("volume", "rm", "far")


def test_copies_of_a_container_that_does_not_run_see_it(daemon: Wharfd, volume: str, tmp_path: Path) -> None:
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}")
    (tmp_path / "file").write_text("there")
    daemon.docker("volume", "create", *options, "bound")
    daemon.docker("create", "--name", "cold", "--network", "none", "-v", "bound:/b", "busybox", "true")
    path = place(daemon, "bound")
    daemon.docker("cp", "cold:/b/file", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_text() == "there"
    daemon.docker("cp", str(tmp_path / "copy"), "cold:/b/back")
    assert (tmp_path / "back").read_text() == "there"
    until_unmounted(path)
    daemon.docker("rm", "cold")
    daemon.docker("volume", "rm", "bound")


def test_prune_and_usage_leave_out_what_an_option_names(daemon: Wharfd, volume: str) -> None:
    daemon.docker("volume", "create", "plain")
    assert daemon.docker("volume", "prune", "-fa").stdout.split()[:3] == ["Deleted", "Volumes:", "plain"]
    assert daemon.docker("volume", "ls", "-q").stdout == f"{volume}\n"
    table = daemon.docker("system", "df", "--format", "{{.Type}}={{.TotalCount}}").stdout
    assert "Local Volumes=0" in table
