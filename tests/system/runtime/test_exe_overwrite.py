"""Who waits inside a container before its execve cannot be used to write over its program on the host
(CVE-2019-5736): with the rights of a container it cannot be opened at all, and with every capability what is opened is
a sealed copy.

The attack keeps `/proc/N/exe` open, waits until N has ended, since a program that runs takes no write, and writes
through the descriptor. On a process without protection, a program of the host's that entered the same pid namespace as
a careless runtime would, it works.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.wharfd import Wharfd, docker_client
from tests.system.oci.lab import OciLab
from wharf.kernel.caps import NAMES
from wharf.kernel.probe import probe

WAIT = 60.0
ATTACK = """
    set -e
    N=$1
    exec 3</proc/$N/exe
    echo opened
    while [ -e /proc/$N ]; do sleep 0.05; done
    echo overwritten >/proc/self/fd/3
    echo written
"""
LOOK = """
    for thing in exe root/etc/passwd fd/0 mem maps environ; do
        head -c1 /proc/$1/$thing >/dev/null 2>&1 && echo $thing
    done
    true
"""


def pid_inside(pid: int) -> str:
    """The number of a process of the host in its own pid namespace."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid:"))
    return line.split()[-1]


def freezer(pid: int) -> tuple[Path, str, str]:
    """Where the cgroup of a process is frozen: the directory, the file in it, and what is written to freeze."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    mounts = probe().cgroup_mounts
    for _, controllers, path in lines:
        if "freezer" in controllers.split(","):
            return Path(mounts["freezer"] + path), "freezer.state", "FROZEN"
    path = next(path for _, controllers, path in lines if not controllers)
    return Path(mounts[""] + path), "cgroup.freeze", "1"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


@pytest.fixture
def victim(daemon: Wharfd) -> Iterator[int]:
    """Pid of a container `victim`; `peer` sees its processes with the usual rights, `mighty` with all there are."""
    daemon.docker("run", "-d", "--name", "victim", "busybox", "sleep", "1000")
    every = ("--cap-add=ALL", "--security-opt=seccomp=unconfined")
    for name, flags in (("peer", ()), ("mighty", every)):
        daemon.docker("run", "-d", "--name", name, "--pid=container:victim", *flags, "busybox", "sleep", "1000")
    yield int(daemon.docker("inspect", "-f", "{{.State.Pid}}", "victim").stdout)
    daemon.docker("rm", "-f", "peer", "mighty", "victim")


def attacker(daemon: Wharfd, name: str, script: str, pid: int) -> "subprocess.Popen[str]":
    """A script in the container `name` against a process of the host."""
    command = [docker_client(), "exec", name, "sh", "-c", script, "sh", pid_inside(pid)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=daemon.environment, stdout=pipe, stderr=pipe, text=True)


def test_a_held_exec(daemon: Wharfd, victim: int) -> None:
    directory, file, word = freezer(victim)
    (directory / file).write_text(word)  # the exec joins this cgroup first, and goes no further
    held = subprocess.Popen([docker_client(), "exec", "victim", "true"], env=daemon.environment)
    try:
        deadline = time.monotonic() + WAIT
        while not (found := set(map(int, (directory / "cgroup.procs").read_text().split())) - {victim}):
            assert time.monotonic() < deadline and held.poll() is None
            time.sleep(0.02)
        (pid,) = found
        assert os.readlink(f"/proc/{pid}/exe").startswith("/memfd:"), "it has become the program already"
        assert pid_inside(pid) in daemon.docker("exec", "peer", "ls", "/proc").stdout.split()
        out, error = attacker(daemon, "peer", ATTACK, pid).communicate(timeout=WAIT)
        assert out == "" and "Permission denied" in error
        assert attacker(daemon, "peer", LOOK, pid).communicate(timeout=WAIT)[0] == ""
        mighty = attacker(daemon, "mighty", ATTACK, pid)
        assert mighty.stdout is not None and mighty.stdout.readline() == "opened\n"
    finally:
        (directory / file).write_text("THAWED" if word == "FROZEN" else "0")
    assert held.wait(WAIT) == 0
    out, error = mighty.communicate(timeout=WAIT)
    # Sealed; as long as other processes of the engine run it, the kernel says so first.
    assert out == "" and ("Operation not permitted" in error or "Text file busy" in error)


def test_an_init_before_its_start_cannot_be_opened(tmp_path: Path) -> None:
    """`wharf-runtime create` leaves one, here in the pid namespace of other containers."""

    def every_right(config: dict[str, Any]) -> None:
        for kind in ("bounding", "permitted", "effective"):
            config["process"]["capabilities"][kind] = list(NAMES[: probe().last_capability + 1])

    lab = OciLab(tmp_path / "lab")
    try:
        peer = lab.started("exec sleep 300")
        place = f"/proc/{lab.state(peer)['pid']}/ns/pid"

        def joining(config: dict[str, Any]) -> None:
            kept = [item for item in config["linux"]["namespaces"] if item["type"] != "pid"]
            config["linux"]["namespaces"] = [*kept, {"type": "pid", "path": place}]

        mighty = lab.started("exec sleep 300", joining, every_right)
        name = lab.created("true", joining)
        inside = pid_inside(lab.state(name)["pid"])
        lab.ok("exec", peer, "test", "-e", f"/proc/{inside}/status")
        done = lab.call("exec", peer, "sh", "-c", ATTACK, "sh", inside)
        assert done.returncode != 0 and done.stdout == "" and "Permission denied" in done.stderr
        assert lab.ok("exec", peer, "sh", "-c", LOOK, "sh", inside) == ""
        write = "exec 3<>/proc/$1/exe && echo written"
        done = lab.call("exec", mighty, "sh", "-c", write, "sh", inside)
        assert done.returncode != 0 and "written" not in done.stdout
        seals = lab.ok("exec", mighty, "readlink", f"/proc/{inside}/exe")
        assert "/memfd:" in seals, "a copy: no file of the host is behind it"
        lab.ok("start", name)
    finally:
        lab.close()


def test_the_attack_works_where_nothing_protects(daemon: Wharfd, victim: int, tmp_path: Path) -> None:
    program = tmp_path / "busybox-runtime"
    shutil.copy("/bin/busybox", program)
    careless = subprocess.Popen(["nsenter", "--target", str(victim), "--pid", str(program), "sleep", "1000"])
    try:
        deadline = time.monotonic() + WAIT
        while not (found := [pid for pid in children(careless.pid) if os.path.samefile(f"/proc/{pid}/exe", program)]):
            assert time.monotonic() < deadline and careless.poll() is None
            time.sleep(0.02)
        attacking = attacker(daemon, "mighty", ATTACK, found[0])
        assert attacking.stdout is not None and attacking.stdout.readline() == "opened\n"
    finally:
        for pid in children(careless.pid):
            os.kill(pid, signal.SIGKILL)
        careless.wait(WAIT)
    assert attacking.communicate(timeout=WAIT)[0] == "written\n"
    assert program.read_bytes() == b"overwritten\n"


def children(pid: int) -> list[int]:
    """Of one process."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
