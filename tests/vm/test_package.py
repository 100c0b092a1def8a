"""The Debian package on a machine whose init is systemd: its units, and containers that outlive restart and upgrade.

dist/ has two packages of the same sources: this version, and 99.0.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import docker_archive
from tests.vm.guest import CGROUPS, SYSTEMD, unit, until

pytestmark = pytest.mark.skipif(not SYSTEMD, reason="the init is not systemd")
SOCKET = "/run/wharf/wharf.sock"
CLEAN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
PRIVATE = "/run/systemd/private"


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of the machine, without the paths of the checkout."""
    done = subprocess.run(words, env=CLEAN, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}\n{journal()}"
    return done


def journal() -> str:
    """What the service said last."""
    words = ["journalctl", "-u", "wharf.service", "-n", "40", "--no-pager", "-o", "cat"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def wharf(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """The packaged command line at its default socket."""
    return run("/usr/bin/wharf", *words, check=check)


def state(name: str) -> dict[str, Any]:
    """`State` of a container."""
    found: dict[str, Any] = json.loads(wharf("inspect", name).stdout)[0]["State"]
    return found


def main_pid() -> int:
    """Of the service; 0 when there is none."""
    return int(unit("wharf.service", "MainPID")["MainPID"])


def scope(name: str) -> Path:
    """The cgroup of a running container."""
    text = Path(f"/proc/{state(name)['Pid']}/cgroup").read_text()
    return Path(f"{CGROUPS}{text.strip().removeprefix('0::')}")


def alive(pid: int) -> bool:
    """Whether the process runs."""
    return os.path.exists(f"/proc/{pid}")


@pytest.fixture(scope="module")
def packages() -> Iterator[list[Path]]:
    found = sorted(Path("dist").glob("wharf_*.deb"))
    assert len(found) == 2, "tools/test-vm builds them; by hand: tools/dist and VERSION=99.0 tools/dist"
    run("dpkg", "-i", str(found[0].resolve()))
    yield found
    run("dpkg", "-P", "wharf", check=False)


@pytest.fixture(scope="module")
def service(packages: list[Path]) -> Iterator[list[Path]]:
    image = Path("/tmp/busybox.tar")
    image.write_bytes(docker_archive())
    wharf("load", "-i", str(image))
    words = ("--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "-p", "127.0.0.1:18090:80")
    script = "mkdir /w; echo welcome >/w/index.html; httpd -p 80 -h /w; while :; do echo tick; sleep 1; done"
    wharf("run", "-d", "--name", "lives", *words, "busybox", "sh", "-c", script)
    yield packages


def answers() -> bool:
    """Whether the container's published port does."""
    with socket.socket() as client:
        client.settimeout(10)
        try:
            client.connect(("127.0.0.1", 18090))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"welcome" in client.makefile("rb").read()
        except OSError:
            return False


def lives_on(before: dict[str, Any]) -> None:
    """The container is the same process, and all that one does with it works."""
    after = state("lives")
    assert (after["Running"], after["Pid"], after["StartedAt"]) == (True, before["Pid"], before["StartedAt"])
    assert wharf("exec", "lives", "echo", "still").stdout == "still\n"
    count = len(wharf("logs", "lives").stdout.split())
    until(lambda: len(wharf("logs", "lives").stdout.split()) > count)
    until(answers)


def test_installed_units_run(packages: list[Path]) -> None:
    for name in ("wharf.socket", "wharf.service"):
        assert unit(name, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    wanted = {"Type": "notify", "Delegate": "yes", "KillMode": "process"}
    assert unit("wharf.service", *wanted) == wanted
    status = os.stat(SOCKET)
    group = next(line for line in Path("/etc/group").read_text().splitlines() if line.startswith("wharf:"))
    assert (status.st_mode & 0o777, status.st_uid, status.st_gid) == (0o660, 0, int(group.split(":")[2]))
    assert wharf("info", "--format", "{{.CgroupDriver}} {{.LiveRestoreEnabled}}").stdout == "systemd true\n"


def test_a_container_is_no_child_of_the_service(service: list[Path]) -> None:
    assert scope("lives").parent == CGROUPS / "system.slice"
    assert scope("lives").name == f"wharf-{json.loads(wharf('inspect', 'lives').stdout)[0]['Id']}.scope"
    own = Path(f"/proc/{main_pid()}/cgroup").read_text().strip()
    assert own.startswith("0::/system.slice/wharf.service")


def test_restart(service: list[Path]) -> None:
    before, old = state("lives"), main_pid()
    run("systemctl", "restart", "wharf.service")
    assert main_pid() not in (0, old)
    lives_on(before)


def test_the_socket_starts_the_service(service: list[Path]) -> None:
    before = state("lives")
    run("systemctl", "stop", "wharf.service")
    assert main_pid() == 0 and alive(before["Pid"]) and os.path.exists(SOCKET)
    assert wharf("ps", "--format", "{{.Names}}").stdout == "lives\n"
    assert unit("wharf.service", "ActiveState") == {"ActiveState": "active"}
    lives_on(before)


def test_a_killed_service_comes_back(service: list[Path]) -> None:
    before, old = state("lives"), main_pid()
    os.kill(old, signal.SIGKILL)
    until(lambda: main_pid() not in (0, old) and unit("wharf.service", "ActiveState") == {"ActiveState": "active"})
    lives_on(before)


def test_limits_change_in_the_scope(service: list[Path]) -> None:
    cgroup = scope("lives")
    words = ("--memory", "48m", "--memory-swap", "96m", "--pids-limit", "40", "--cpus", "0.25", "--cpu-shares", "2048")
    wharf("update", *words, "lives")
    wanted = {
        "MemoryMax": str(48 << 20), "MemorySwapMax": str(48 << 20), "TasksMax": "40", "CPUWeight": "79",
        "CPUQuotaPerSecUSec": "250ms",
    }  # fmt: skip
    files = ("memory.max", "memory.swap.max", "pids.max", "cpu.weight", "cpu.max")
    in_files = [str(48 << 20), str(48 << 20), "40", "79", "25000 100000"]
    for _ in range(2):
        assert unit(cgroup.name, *wanted) == wanted
        assert [(cgroup / name).read_text().strip() for name in files] == in_files
        run("systemctl", "daemon-reload")  # systemd writes its own idea of the limits again


def test_the_system_bus_serves_where_the_private_socket_does_not(service: list[Path]) -> None:
    """Some systemd will have no private socket any more (v257 says so): the way through the broker does the same."""
    os.rename(PRIVATE, PRIVATE + ".away")
    try:
        wharf("run", "-d", "--name", "bus", "--memory", "32m", "busybox", "sleep", "1000")
        cgroup = scope("bus")
        assert cgroup.name.endswith(".scope") and (cgroup / "memory.max").read_text().strip() == str(32 << 20)
        wharf("update", "--memory", "40m", "--memory-swap", "80m", "bus")
        assert (cgroup / "memory.max").read_text().strip() == str(40 << 20)
        wharf("restart", "-t", "0", "bus")  # the same name at once again: the unit's end is awaited on the bus
        wharf("rm", "-f", "bus")
        until(lambda: not cgroup.exists())
    finally:
        os.rename(PRIVATE + ".away", PRIVATE)
    assert unit(cgroup.name, "LoadState") == {"LoadState": "not-found"}


def test_reload(service: list[Path]) -> None:
    old = main_pid()
    Path("/etc/wharf").mkdir(exist_ok=True)
    Path("/etc/wharf/daemon.json").write_text(json.dumps({"labels": ["kept=1"]}))
    run("systemctl", "reload", "wharf.service")
    until(lambda: wharf("info", "--format", "{{json .Labels}}").stdout == '["kept=1"]\n')
    assert main_pid() == old


def test_upgrade(service: list[Path]) -> None:
    before, old = state("lives"), main_pid()
    assert not wharf("version", "--format", "{{.Server.Version}}").stdout.startswith("99")
    run("dpkg", "-i", str(service[1].resolve()))
    until(lambda: main_pid() not in (0, old))
    until(lambda: wharf("info", check=False).returncode == 0)
    assert run("dpkg-query", "-W", "-f", "${Version}", "wharf").stdout == "99.0"
    assert Path("/etc/wharf/daemon.json").exists()
    lives_on(before)


def test_removal_ends_containers_and_purge_leaves_nothing(service: list[Path]) -> None:
    pid, cgroup = state("lives")["Pid"], scope("lives")
    run("dpkg", "-r", "wharf")
    assert not alive(pid) and main_pid() == 0
    until(lambda: not cgroup.exists())
    assert os.path.isdir("/var/lib/wharf")
    run("dpkg", "-P", "wharf")
    assert [path for path in ("/var/lib/wharf", "/etc/wharf", "/run/wharf") if os.path.exists(path)] == []
    assert "wharf:" not in Path("/etc/group").read_text()
    assert unit("wharf.service", "LoadState") == {"LoadState": "not-found"}
    assert not list(CGROUPS.glob("system.slice/wharf-*.scope"))
