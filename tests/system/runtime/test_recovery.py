"""wharfd may go at any moment, a monitor too: what is found afterwards."""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.runtime.conftest import Lab
from wharf.errors import Internal, Invalid, NotFound
from wharf.runtime.supervisor import DIED


def test_a_container_is_adopted_and_its_log_is_whole(lab: Lab) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; read x; echo last $x"
    running = lab.start(["sh", "-c", script], request={"open_stdin": True})
    lab.restart()
    adopted = lab.supervisor.adopt(running.name)
    assert adopted is not None
    assert (adopted.pid, adopted.start_time, adopted.cgroup) == (running.pid, running.start_time, running.cgroup)
    with adopted.attach(stdin=True, stdout=True, stderr=True) as stream:
        stream.sendall(b"word\n")
        record = adopted.wait(10)
    assert record is not None and record.code == 0
    assert lab.log_lines(running) == [f"line {number}\n" for number in range(300)] + ["last word\n"]
    assert lab.supervisor.live() == []


def test_an_end_without_wharfd_is_recorded(lab: Lab) -> None:
    running = lab.start(["sh", "-c", "echo before; exit 5"], request={"open_stdin": True})
    lab.supervisor.close()
    deadline = time.monotonic() + 10
    while lab.supervisor.live() and time.monotonic() < deadline:
        time.sleep(0.01)
    lab.restart()
    assert lab.supervisor.adopt(running.name) is None
    record = lab.supervisor.exit_record(running.name)
    assert record is not None and record.code == 5
    assert lab.log_lines(running) == ["before\n"]


def test_a_dead_monitor_takes_the_container_with_it(lab: Lab) -> None:
    running = lab.start(["sh", "-c", "sleep 1000 & sleep 1000"])
    processes = running.pids()
    monitor = _parent(running.pid)
    os.kill(monitor, signal.SIGKILL)
    record = running.wait(10)
    assert record is not None and (record.code, record.reason) == (137, DIED)
    assert not [pid for pid in processes if os.path.exists(f"/proc/{pid}/exe")]
    assert lab.supervisor.live() == []


def test_a_monitor_that_died_without_wharfd_is_forgotten(lab: Lab) -> None:
    running = lab.start(["sleep", "1000"])
    monitor = _parent(running.pid)
    lab.supervisor.close()
    os.kill(monitor, signal.SIGKILL)
    lab.restart()
    assert lab.supervisor.adopt(running.name) is None
    assert lab.supervisor.exit_record(running.name) is None
    assert lab.supervisor.live() == [running.name]
    lab.supervisor.forget(running.name)
    assert lab.supervisor.live() == []
    assert not os.path.exists(f"{next(iter(lab.host.cgroup_mounts.values()))}{running.cgroup}")


def test_a_monitor_that_does_not_answer_is_not_taken_for_dead(lab: Lab) -> None:
    """It may wait for a slow disk. Whatever it is told meanwhile it does later."""
    running = lab.start(["sh", "-c", "read x; echo last $x; exit 4"], request={"open_stdin": True})
    monitor = _parent(running.pid)
    os.kill(monitor, signal.SIGSTOP)
    try:
        lab.restart()
        adopted = lab.supervisor.adopt(running.name, patience=0.2)
        assert adopted is not None
        assert (adopted.pid, adopted.start_time, adopted.cgroup) == (running.pid, running.start_time, running.cgroup)
        assert adopted.pids() == [running.pid] and not adopted.over()
        stream = adopted.attach(stdin=True, stdout=True, stderr=True)
        stream.sendall(b"word\n")
    finally:
        os.kill(monitor, signal.SIGCONT)
    record = adopted.wait(10)
    stream.close()
    assert record is not None and record.code == 4
    assert lab.log_lines(running) == ["last word\n"]
    assert lab.supervisor.live() == []


@pytest.mark.parametrize("obstacle", ["no socket", "full queue"])
def test_a_monitor_that_cannot_be_spoken_to_is_watched(lab: Lab, obstacle: str) -> None:
    running = lab.start(["sh", "-c", "trap 'exit 5' USR1; while true; do sleep 0.05; done"])
    monitor, place = _parent(running.pid), f"{lab.exec_root}/monitors/{running.name}/init"
    lab.supervisor.close()
    with contextlib.ExitStack() as stack:
        if obstacle == "no socket":
            os.rename(place, f"{lab.exec_root}/away")
        else:
            os.kill(monitor, signal.SIGSTOP)
            stack.callback(os.kill, monitor, signal.SIGCONT)
            directory = os.open(os.path.dirname(place), os.O_PATH | os.O_DIRECTORY)
            stack.callback(os.close, directory)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                    sock.setblocking(False)
                    sock.connect(f"/proc/self/fd/{directory}/init")
        lab.restart()
        adopted = lab.supervisor.adopt(running.name, patience=1)
        assert adopted is not None and adopted.pid == running.pid and not adopted.over()
    adopted.signal(signal.SIGUSR1)
    record = adopted.wait(10)
    assert record is not None and record.code == 5


def test_nothing_is_known_without_a_descriptor(lab: Lab) -> None:
    running = lab.start(["sleep", "1000"])
    lab.restart()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            lab.supervisor.adopt(running.name)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    adopted = lab.supervisor.adopt(running.name)
    assert adopted is not None
    adopted.kill_all()
    assert adopted.wait(10) is not None


def test_the_number_of_a_dead_monitor_may_be_another_process(lab: Lab) -> None:
    running = lab.start(["sleep", "1000"])
    path = Path(f"{lab.exec_root}/monitors/{running.name}/init.json")
    monitor = _parent(running.pid)
    lab.supervisor.close()
    os.kill(monitor, signal.SIGKILL)
    path.write_text(json.dumps({**json.loads(path.read_text()), "monitor": os.getpid()}))
    lab.restart()
    assert lab.supervisor.adopt(running.name) is None
    lab.supervisor.forget(running.name)


def test_a_lost_launcher_is_replaced(lab: Lab) -> None:
    launcher = os.pidfd_open(lab.supervisor.launcher_pid)
    os.kill(lab.supervisor.launcher_pid, signal.SIGKILL)
    select.select([launcher], [], [])
    os.close(launcher)
    assert lab.shell("echo fine") == "fine\n"


def test_wharfd_lost_before_go_leaves_nothing(lab: Lab) -> None:
    waiting = lab.prepare(["sleep", "1000"])
    pid = waiting.pid
    waiting._channel.close()
    deadline = time.monotonic() + 10
    while lab.supervisor.live() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lab.supervisor.live() == [] and not os.path.exists(f"/proc/{pid}/exe")


def test_workers_give_results_and_errors(lab: Lab) -> None:
    with pytest.raises(Internal, match=r"no job 'none' is registered"):
        lab.supervisor.worker("none", {})
    with pytest.raises((Invalid, Internal, OSError)):
        bad: dict[str, Any] = {"lowers": []}
        lab.supervisor.worker("layer.apply", bad)


def test_a_worker_that_is_kept_does_one_job_after_another(lab: Lab, tmp_path: Path) -> None:
    """It comes back from a job as the launcher forked it: its namespaces, its root, and no file open."""
    lowers = []
    for name in ("above", "below"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
        lowers.append(str(tmp_path / name))
    (tmp_path / "place").mkdir()
    tree = {"lowers": lowers, "place": str(tmp_path / "place")}
    args = {"tree": tree, "sources": ["/"], "excludes": [], "ignore": [], "parents": False, "owners": True}
    launcher = lab.supervisor.launcher_pid
    with lab.supervisor.keeping_workers():
        first = lab.supervisor.worker("files.digest", args)
        (worker,) = _workers(launcher)
        as_forked = [os.readlink(f"/proc/{launcher}/{name}") for name in ("ns/mnt", "root", "cwd")]
        for _ in range(2):
            assert lab.supervisor.worker("files.digest", args) == first
            assert _settled(worker) == as_forked
        assert _workers(launcher) == [worker]
        with pytest.raises(NotFound):
            lab.supervisor.worker("files.digest", {**args, "sources": ["/none"]})
        assert lab.supervisor.worker("files.digest", args) == first
    pidfds = [os.pidfd_open(pid) for pid in _workers(launcher)]
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 10)[0]
        os.close(pidfd)
    assert _workers(launcher) == []


def _settled(worker: int) -> list[str]:
    """The places of a worker once it has nothing open but its own: it tidies up after its answer."""
    deadline = time.monotonic() + 10
    while len(os.listdir(f"/proc/{worker}/fd")) > 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    return [os.readlink(f"/proc/{worker}/{name}") for name in ("ns/mnt", "root", "cwd")]


def _workers(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(pid) for pid in children if _name(pid) == "wharf-worker\n"]


def _name(pid: str) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text()
    return "gone"


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])
