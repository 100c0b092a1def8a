"""One daemon for a module of hostile requests; at its end it is as it was: descriptors, threads, memory, files."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd
from tests.system.api.raw import Client
from wharf.network.names import instance_id

MEMORY_GROWTH = 48 << 20
"""Bytes of wharfd's own that a module's requests may leave behind: heaps keep what they once had."""
DESCRIPTOR_GROWTH = 6
"""Idle connections of the database and pipes of threads that are made once."""
SETTLE_SECONDS = 10.0
THREADS = 16 + 32 + 8
"""Both pools of the API, the engine's own."""


def descriptors(pid: int) -> int:
    """Open descriptors of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Threads of a process."""
    return len(os.listdir(f"/proc/{pid}/task"))


def memory(pid: int) -> int:
    """Bytes a process holds alone (Private of smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Private_"))


def listing(root: Path) -> set[str]:
    """Files and directories that hold containers, snapshots and volumes; depth 3 is enough to see one too many."""
    found = set()
    for top in ("data", "exec"):
        for directory, names, files in os.walk(root / top):
            at = Path(directory).relative_to(root)
            if len(at.parts) > 3:
                names.clear()
                continue
            found |= {str(at / name) for name in (*names, *files)}
    return {name for name in found if "blobs" not in name and not name.endswith(("-wal", "-shm", ".unsynced"))}


def cgroups(daemon: Wharfd) -> set[str]:
    """Every cgroup of this daemon, in every hierarchy; other daemons make and remove theirs at the same time."""
    mine = f"wharf-{instance_id(daemon.root + '/data')}"
    tops = [top for pattern in (mine, f"*/{mine}") for top in Path("/sys/fs/cgroup").glob(pattern)]
    return {directory for top in tops for directory, _, _ in os.walk(top)}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """wharfd with busybox; checked for what is left at the end of the module."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Wharfd() as running:
        running.load_busybox()
        running.docker("run", "--rm", "--network", "none", "busybox", "true")
        assert running.process
        # The shell of `unshare` and `nsenter` both become the daemon: this is its own process.
        pid = running.process.pid
        before = descriptors(pid), memory(pid), listing(Path(running.root))
        yield running
        images = set(running.docker("images", "-aq").stdout.split())
        ids = running.docker("ps", "-aq").stdout.split()
        if ids:
            running.docker("rm", "-f", "-v", *ids)
        running.docker("volume", "prune", "-af")
        assert running.process.poll() is None, running.log()
        deadline = time.monotonic() + SETTLE_SECONDS
        while descriptors(pid) > before[0] + DESCRIPTOR_GROWTH and time.monotonic() < deadline:
            time.sleep(0.1)
        assert descriptors(pid) <= before[0] + DESCRIPTOR_GROWTH
        assert threads(pid) <= THREADS
        assert memory(pid) - before[1] < MEMORY_GROWTH
        if len(images) == 1:
            while (left := listing(Path(running.root)) - before[2]) and time.monotonic() < deadline:
                time.sleep(0.1)  # large layers go in the background
            assert left == set()
        log = Path(running.root, "log").read_text(errors="replace")
        assert "Traceback" not in log, log[max(0, log.index("Traceback") - 500) :][:4000]


@pytest.fixture(scope="module")
def api(daemon: Wharfd) -> Client:
    """Asks the module's daemon."""
    return Client(daemon.socket)
