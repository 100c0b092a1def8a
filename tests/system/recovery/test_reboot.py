"""The machine was restarted, as far as a daemon can see: another boot id, no process, interface, rule or cgroup of
before, and the data root as the power cut left it. With a cleared exec root (/run is a tmpfs), and with one that a
disk has kept. (`make test-vm` restarts a real machine.)"""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.footprint import processes
from tests.support.wharfd import ROOT, Wharfd, docker_client
from wharf.network.names import instance_id

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("reboot")]
SECONDS = 20.0
BOOT_ID = "/proc/sys/kernel/random/boot_id"
MASKED = f'mount --bind "$0" {BOOT_ID} && exec "$@"'


@pytest.fixture
def daemon() -> Iterator[Wharfd]:
    made = Wharfd()
    boot(made)
    made.__enter__()
    made.load_busybox()
    yield made
    made.__exit__(None, None, None)


def boot(daemon: Wharfd) -> None:
    """The next start of wharfd is in another boot: it sees another boot id."""
    path = f"{daemon.root}/boot_id"
    Path(path).write_text(f"{uuid.uuid4()}\n")
    daemon.program = ["unshare", "-m", "sh", "-c", MASKED, path, str(ROOT / ".venv/bin/wharfd")]


def power_cut(daemon: Wharfd, clear_exec_root: bool) -> None:
    """All processes end at once; what only the kernel had is gone."""
    assert daemon.process is not None and daemon.holder is not None
    parent = f"wharf-{instance_id(daemon.root + '/data')}"
    for frozen in Path("/sys/fs/cgroup/freezer").glob(f"{parent}/*/freezer.state"):  # version 1 keeps even the killed
        frozen.write_text("THAWED")
    deadline = time.monotonic() + SECONDS
    while found := processes(daemon):
        assert time.monotonic() < deadline, found
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    daemon.process.wait()
    daemon.holder.kill()
    daemon.holder.wait()
    for place in (*Path("/sys/fs/cgroup").glob(parent), *Path("/sys/fs/cgroup").glob(f"*/{parent}")):
        for directory, _, _ in os.walk(place, topdown=False):
            _remove_cgroup(directory, deadline)
    if clear_exec_root:
        shutil.rmtree(f"{daemon.root}/exec")
    boot(daemon)
    script = "ip link set lo up; echo; exec sleep infinity"
    daemon.holder = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE)
    assert daemon.holder.stdout
    daemon.holder.stdout.readline()


def _remove_cgroup(directory: str, deadline: float) -> None:
    """A process that ends leaves its namespaces before its cgroup: busy for a moment."""
    while True:
        try:
            return os.rmdir(directory)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def state(daemon: Wharfd, name: str) -> dict[str, object]:
    return dict(json.loads(daemon.docker("inspect", name).stdout)[0]["State"])


@pytest.mark.parametrize("clear_exec_root", [True, False], ids=["exec-root-cleared", "exec-root-kept"])
def test_nothing_of_the_boot_before_is_trusted(daemon: Wharfd, clear_exec_root: bool) -> None:
    daemon.docker("run", "-d", "--name", "plain", "-p", "18033:80", "-v", "kept:/kept", "busybox", "sh", "-c",
                  "echo data > /kept/file; echo said; exec sleep 1000")  # fmt: skip
    daemon.docker("run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--name", "paused", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--rm", "--name", "fleeting", "busybox", "sleep", "1000")
    daemon.docker("run", "--name", "done", "busybox", "sh", "-c", "exit 3", check=False)
    daemon.docker("stop", "-t", "0", "stopped")
    daemon.docker("pause", "paused")
    session = subprocess.Popen(
        [docker_client(), "exec", "plain", "sleep", "1000"], env=daemon.environment, stderr=subprocess.DEVNULL
    )
    before = state(daemon, "always")
    power_cut(daemon, clear_exec_root)
    session.wait(SECONDS)
    daemon.start()
    for name in ("plain", "paused"):
        found = state(daemon, name)
        assert (found["Status"], found["ExitCode"], found["Pid"], found["Paused"]) == ("exited", 137, 0, False), name
        assert "the machine was restarted" in str(found["Error"]), name
    assert (state(daemon, "done")["Status"], state(daemon, "done")["ExitCode"]) == ("exited", 3)
    assert state(daemon, "stopped")["Status"] == "exited"
    deadline = time.monotonic() + SECONDS
    while not (again := state(daemon, "always"))["Running"] or "fleeting" in _names(daemon):
        assert time.monotonic() < deadline, _names(daemon)
        time.sleep(0.05)
    assert again["StartedAt"] != before["StartedAt"]
    assert Path(f"/proc/{again['Pid']}/comm").read_text() == "sleep\n"
    assert daemon.docker("logs", "plain").stdout == "said\n"
    daemon.docker("start", "plain")  # its port and its address are free
    assert daemon.docker("exec", "plain", "cat", "/kept/file").stdout == "data\n"
    assert daemon.docker("run", "--rm", "busybox", "echo", "fine").stdout == "fine\n"
    found = subprocess.run(
        [str(ROOT / ".venv/bin/wharf"), "-H", daemon.host, "system", "check", "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(found.stdout) == [], found.stdout


def _names(daemon: Wharfd) -> list[str]:
    return daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
