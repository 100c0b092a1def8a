"""Nothing left of something: disk, memory, descriptors, processes, the right to write. The client hears what is
wrong, what runs goes on, nothing is lost, and the engine serves again when the pressure has gone.
"""

import json
import os
import re
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.footprint import processes
from tests.support.wharfd import ROOT, Wharfd, docker_client
from wharf.runtime.logforms import parse_time

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pressure")]
SIZE = "96m"
SECONDS = 60.0
FULL = r"(?i)no space left on device|disk is full|free \(limit min-free\)|database or disk is full"
RUN = ("run", "--rm", "busybox", "echo", "fine")


@pytest.fixture
def place() -> Iterator[str]:
    """A small file system of a test's own."""
    path = tempfile.mkdtemp(prefix="wharf-test-", dir="/tmp")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)
    os.rmdir(path)


@pytest.fixture
def daemon(place: str) -> Iterator[Wharfd]:
    with Wharfd(place=place) as started:
        started.load_busybox()
        script = "echo data > /kept/file; i=0; while true; do echo line $i; i=$((i+1)); usleep 100000; done"
        started.docker("run", "-d", "--name", "runs", "-v", "kept:/kept", "busybox", "sh", "-c", script)
        started.docker("create", "--name", "idle", "busybox", "echo", "idle")
        yield started


def healthy(daemon: Wharfd) -> None:
    """Everything works and nothing was lost."""
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "runs").stdout == "true\n"
    assert daemon.docker("exec", "runs", "cat", "/kept/file").stdout == "data\n"
    assert daemon.docker(*RUN).stdout == "fine\n"
    assert daemon.docker("start", "-a", "idle").stdout == "idle\n"
    found = subprocess.run(
        [str(ROOT / ".venv/bin/wharf"), "-H", daemon.host, "system", "check", "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(found.stdout) == [], found.stdout


def refused(daemon: Wharfd, words: str, *line: str) -> None:
    out = daemon.docker(*line, check=False)
    told = out.stdout if line[0] == "exec" else out.stderr  # Docker writes why an exec failed into its stream
    assert out.returncode != 0, line
    assert re.search(words, told), out
    assert "Traceback" not in told and "Error(" not in told, told


def goes_on(daemon: Wharfd) -> None:
    """What runs is seen, its log is read."""
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "runs").stdout == "true\n"
    assert "runs" in daemon.docker("ps", "--format", "{{.Names}}").stdout
    assert daemon.docker("logs", "runs").stdout.startswith("line 0\nline 1\n")


def whole_log(daemon: Wharfd, room_since: int = 0) -> None:
    """Lines from before that time (ns) may have found no room; of later ones none is missing. None is torn or doubled,
    and new ones come."""
    path = Path(daemon.docker("inspect", "-f", "{{.LogPath}}", "runs").stdout.strip())
    for raw in path.read_bytes().splitlines(keepends=True):
        assert raw.endswith(b"}\n") and json.loads(raw)["log"].startswith("line "), raw
    seen = [text.split() for text in daemon.docker("logs", "-t", "runs").stdout.splitlines()]
    numbers = [int(number) for _, _, number in seen]
    assert numbers == sorted(set(numbers))
    later = [int(number) for stamp, _, number in seen if parse_time(stamp) > room_since]
    assert later == list(range(later[0], later[-1] + 1)) and (room_since or later[0] == 0)
    with subprocess.Popen(
        [docker_client(), "logs", "-f", "--tail", "0", "runs"], env=daemon.environment, stdout=subprocess.PIPE
    ) as follower:
        assert follower.stdout is not None
        assert int(follower.stdout.readline().removeprefix(b"line ")) > numbers[-1]
        follower.kill()


def wait_for_blocks(place: str, wanted: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not wanted(os.statvfs(place).f_bfree):
        assert time.monotonic() < deadline, os.statvfs(place)
        time.sleep(0.01)


def test_a_full_disk(daemon: Wharfd, place: str) -> None:
    archive = Path(f"{daemon.root}/busybox.tar").read_bytes()
    filler = Path(place) / "filler"
    with open(filler, "wb") as file:
        try:
            while file.write(b"\0" * (1 << 16)):
                file.flush()
        except OSError:
            pass
    load = subprocess.run(
        [docker_client(), "load"], env=daemon.environment, input=archive, capture_output=True, check=False
    )
    refused(daemon, FULL, *RUN)
    refused(daemon, FULL, "create", "busybox", "true")
    refused(daemon, FULL, "volume", "create", "more")
    assert load.returncode == 0 or re.search(FULL, load.stderr.decode()), load.stderr
    refused(daemon, FULL, "start", "idle")
    refused(daemon, FULL, "commit", "runs", "made:1")
    refused(daemon, FULL, "cp", f"{daemon.root}/busybox.tar", "runs:/copied")
    refused(daemon, FULL, "exec", "runs", "true")
    goes_on(daemon)
    filler.unlink()
    room_since = time.time_ns()
    healthy(daemon)
    whole_log(daemon, room_since)
    assert "copied" not in daemon.docker("exec", "runs", "ls", "-a", "/").stdout
    daemon.kill()
    daemon.start()
    healthy(daemon)


def test_what_is_removed_makes_room_on_a_full_disk(daemon: Wharfd, place: str) -> None:
    """Nothing can be written any more, but by removals: of the container that filled the disk, of others, of volumes
    and images. What happens is recorded; all is as told after a restart."""
    imported = f"{daemon.root}/imported.tar"
    with tarfile.open(imported, "w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    for number in range(4):
        daemon.docker("import", imported, f"imported:{number}")
        daemon.docker("volume", "create", f"volume-{number}")
        daemon.docker("create", "--name", f"idle-{number}", "busybox", "true")
    daemon.docker("run", "-d", "--name", "ends", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--name", "fills", "busybox", "sh", "-c", "cat /dev/zero > /filler; exec sleep 1000")
    wait_for_blocks(place, lambda free: free == 0)
    refused(daemon, FULL, *RUN)
    daemon.docker("kill", "ends")
    for number in range(4):
        daemon.docker("rm", f"idle-{number}")
        daemon.docker("volume", "rm", f"volume-{number}")
        daemon.docker("rmi", f"imported:{number}")
    daemon.docker("image", "prune", "-f")
    goes_on(daemon)
    daemon.docker("rm", "-f", "fills")
    wait_for_blocks(place, lambda free: free > 1000)
    for _ in range(2):
        healthy(daemon)
        assert daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split() == ["ends", "idle", "runs"]
        assert daemon.docker("inspect", "-f", "{{.State.ExitCode}}", "ends").stdout == "137\n"
        assert daemon.docker("volume", "ls", "-q").stdout == "kept\n"
        assert "imported" not in daemon.docker("images", "-a").stdout
        assert "imported" not in Path(f"{daemon.root}/data/content/index.json").read_text()
        daemon.kill()
        daemon.start()


def test_a_data_root_that_became_read_only(daemon: Wharfd) -> None:
    root = f"{daemon.root}/data"
    subprocess.run(["mount", "--bind", root, root], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
        words = r"(?i)read-only file ?system|readonly database"
        refused(daemon, words, *RUN)
        refused(daemon, words, "create", "busybox", "true")
        refused(daemon, words, "start", "idle")
        refused(daemon, words, "commit", "runs", "made:1")
        refused(daemon, words, "load", "-i", f"{daemon.root}/busybox.tar")
        refused(daemon, words, "volume", "create", "more")
        goes_on(daemon)
        daemon.kill()
        with pytest.raises(AssertionError) as refusal:
            daemon.start()
        assert re.search(r"(?i)failed to start daemon: .*(read-only file ?system|readonly)", str(refusal.value))
        assert "Traceback" not in str(refusal.value).rpartition("failed to start daemon")[2]
    finally:
        subprocess.run(["umount", root], check=True)
    daemon.start()
    healthy(daemon)


def all_lines(daemon: Wharfd) -> int:
    """A bit of everything: each line is served or refused in words, soon. How many were refused."""
    lines = (
        ("ps", "-a"), RUN, ("exec", "runs", "echo", "here"), ("logs", "--tail", "1", "runs"),
        ("cp", f"{daemon.root}/busybox.tar", "idle:/copied"), ("cp", "idle:/bin", f"{daemon.root}/copied"),
        ("commit", "idle", "made:1"), ("load", "-q", "-i", f"{daemon.root}/busybox.tar"), ("volume", "create", "more"),
        ("stop", "-t", "0", "short"), ("start", "short"),
    )  # fmt: skip
    refusals = 0
    for line in lines:
        try:
            out = subprocess.run(
                [docker_client(), *line],
                env=daemon.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                timeout=SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise AssertionError(f"docker {' '.join(line)} does not end\n{daemon.log()}") from None
        refusals += out.returncode != 0
        told = out.stderr + (out.stdout if line[0] == "exec" else "")
        assert out.returncode == 0 or (told.strip() and "Traceback" not in told), (line, out)
    return refusals


def test_no_more_descriptors(daemon: Wharfd) -> None:
    assert daemon.process is not None
    pid = daemon.process.pid
    daemon.docker("run", "-d", "--name", "short", "busybox", "sleep", "1000")
    used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    refusals = []
    for more in (3, 6, 12):
        subprocess.run(["prlimit", "--pid", str(pid), f"--nofile={used + more}:20000"], check=True)
        refusals.append(all_lines(daemon))
    assert refusals[0], "the limit was not felt"
    subprocess.run(["prlimit", "--pid", str(pid), "--nofile=20000:20000"], check=True)
    assert all_lines(daemon) == 0, daemon.log()
    healthy(daemon)
    whole_log(daemon)


def test_netd_may_have_no_more_descriptors(daemon: Wharfd) -> None:
    """A start that wants names or ports is refused in words; what runs keeps its own, and the next start is served."""
    serve = ("--network", "nn", "busybox", "sh", "-c", "echo hi > /index.html; exec httpd -f -h /")
    daemon.docker("network", "create", "nn")
    daemon.docker("run", "-d", "--name", "first", "-p", "18061:80", *serve)
    netd = next(pid for pid in processes(daemon) if Path(f"/proc/{pid}/comm").read_text() == "wharf-netd\n")
    limit = max(int(name) for name in os.listdir(f"/proc/{netd}/fd")) + 2
    subprocess.run(["prlimit", "--pid", str(netd), f"--nofile={limit}:20000"], check=True)
    refused(
        daemon, "networking: resolver: .*(?i:too many open files)", "run", "--name", "refused", "-p", "18062:80", *serve
    )
    subprocess.run(["prlimit", "--pid", str(netd), "--nofile=20000:20000"], check=True)
    daemon.docker("rm", "refused")
    daemon.docker("run", "-d", "--name", "second", "-p", "18062:80", *serve)
    for name, other, port in (("first", "second", 18061), ("second", "first", 18062)):
        fetched([docker_client(), "exec", name], daemon, other)
        for host in ("127.0.0.1", "[::1]"):
            fetched([*daemon.enter, "busybox"], daemon, f"{host}:{port}")
    healthy(daemon)


def fetched(prefix: list[str], daemon: Wharfd, host: str) -> None:
    """The page comes, as soon as its server listens."""
    deadline = time.monotonic() + SECONDS
    line = [*prefix, "wget", "-qO-", f"http://{host}/index.html"]
    while True:
        out = subprocess.run(line, env=daemon.environment, capture_output=True, text=True, check=False)
        if out.stdout == "hi\n":
            return
        assert "refused" in out.stderr and time.monotonic() < deadline, (line, out)
        time.sleep(0.1)


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/pids"), reason="the cgroup of processes is of version 1 here")
def test_wharfd_may_have_no_more_threads(daemon: Wharfd) -> None:
    """Ends of containers are recorded all the same; what needs a thread of its own is refused."""
    assert daemon.process is not None
    pid = daemon.process.pid
    daemon.docker("run", "-d", "--name", "short", "busybox", "sleep", "1000")
    home = next(line.split(":")[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines() if ":pids:" in line)
    group = Path(f"/sys/fs/cgroup/pids/wharf-test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text(str(len(os.listdir(f"/proc/{pid}/task"))))
        assert all_lines(daemon), "the limit was not felt"
        assert "limit of processes" in daemon.docker("cp", "idle:/bin/busybox", "-", check=False).stderr
        (group / "pids.max").write_text("max")
        assert all_lines(daemon) == 0, daemon.log()
        healthy(daemon)
    finally:
        (group / "pids.max").write_text("max")
        for text in (group / "cgroup.procs").read_text().split():
            Path(f"/sys/fs/cgroup/pids{home}/cgroup.procs").write_text(text)
        group.rmdir()


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/pids"), reason="the cgroup of processes is of version 1 here")
def test_the_launcher_may_not_fork(daemon: Wharfd) -> None:
    """A start fails in words or is served by the next launcher; nothing stays behind."""
    assert daemon.process is not None
    group = Path(f"/sys/fs/cgroup/pids/wharf-test-{os.getpid()}")
    group.mkdir()
    launcher = next(
        pid for pid in _children(daemon.process.pid) if Path(f"/proc/{pid}/comm").read_text() == "wharf-launcher\n"
    )
    lines = Path(f"/proc/{launcher}/cgroup").read_text().splitlines()
    home = next(line.split(":")[2] for line in lines if ":pids:" in line)
    try:
        for pid in (launcher, *_children(launcher)):
            (group / "cgroup.procs").write_text(str(pid))
        (group / "pids.max").write_text("1")
        outs = [daemon.docker(*RUN, check=False) for _ in range(3)]
        refusals = int((group / "pids.events").read_text().split()[1])
        assert refusals > 0, "the limit was not felt"
        for out in outs:
            assert out.stdout == "fine\n" or (out.returncode != 0 and out.stderr and "Traceback" not in out.stderr), out
        (group / "pids.max").write_text("max")
        healthy(daemon)
    finally:
        (group / "pids.max").write_text("max")
        for pid in (group / "cgroup.procs").read_text().split():
            Path(f"/sys/fs/cgroup/pids{home}/cgroup.procs").write_text(pid)
        group.rmdir()


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="the cgroup of memory is of version 1 here")
def test_wharfd_is_killed_for_want_of_memory(daemon: Wharfd) -> None:
    """As any kill: what runs goes on, and the next start takes it over."""
    assert daemon.process is not None
    group = Path(f"/sys/fs/cgroup/memory/wharf-test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(2 << 20))
        (group / "cgroup.procs").write_text(str(daemon.process.pid))
        clients = [
            subprocess.Popen(
                [docker_client(), *RUN], env=daemon.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(12)
        ]
        words = [client.communicate()[1].decode() for client in clients]
        assert not any("Traceback" in text for text in words)
        if daemon.process.poll() is None:
            daemon.kill()
    finally:
        group.rmdir()
    daemon.start()
    healthy(daemon)


def _children(pid: int) -> list[int]:
    tasks = [Path(f"/proc/{pid}/task/{name}/children") for name in os.listdir(f"/proc/{pid}/task")]
    return [int(text) for task in tasks for text in task.read_text().split()]
