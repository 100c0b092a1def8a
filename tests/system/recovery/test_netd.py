"""netd is killed: another one takes over at once what the containers have, and none of them has to start again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.footprint import processes
from tests.support.wharfd import Wharfd

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("netd")]
SECONDS = 20.0
FETCH = """
import socket, sys
with socket.create_connection((sys.argv[1], 18044), timeout=5) as server:
    server.sendall(b"GET /index.html HTTP/1.0\\r\\n\\r\\n")
    whole = b"".join(iter(lambda: server.recv(4096), b""))
sys.stdout.buffer.write(whole.rpartition(b"\\r\\n")[2])
"""
SERVE = "echo hello > /index.html; exec httpd -f -h /"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        started.docker("run", "-d", "--name", "web", "-p", "18044:80", "busybox", "sh", "-c", SERVE)
        until(lambda: answers(started, "::1"))
        yield started


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def netd(daemon: Wharfd) -> int:
    """Its pid, 0 when none runs."""
    for pid in processes(daemon):
        try:
            if Path(f"/proc/{pid}/comm").read_text() == "wharf-netd\n":
                return pid
        except OSError:
            continue
    return 0


def answers(daemon: Wharfd, host: str) -> bool:
    command = [*daemon.enter, sys.executable, "-c", FETCH, host]
    return subprocess.run(command, capture_output=True, check=False).stdout == b"hello\n"


def started_at(daemon: Wharfd) -> str:
    return daemon.docker("inspect", "-f", "{{.State.StartedAt}}", "web").stdout


def test_it_is_started_again_and_relays_the_ports_of_what_runs(daemon: Wharfd) -> None:
    before = started_at(daemon)
    for _ in range(3):  # each of them knows all that the first one knew
        old = netd(daemon)
        os.kill(old, signal.SIGKILL)
        until(lambda old=old: netd(daemon) not in (0, old))  # type: ignore[misc]
        until(lambda: answers(daemon, "::1"))
        assert answers(daemon, "127.0.0.1")
    assert started_at(daemon) == before
    assert "netd has ended: it is started again" in daemon.log()


def test_it_was_killed_while_no_wharfd_ran(daemon: Wharfd) -> None:
    before = started_at(daemon)
    daemon.kill()
    os.kill(netd(daemon), signal.SIGKILL)
    assert answers(daemon, "127.0.0.1"), "the kernel leads IPv4 without us"
    daemon.start()
    assert answers(daemon, "::1")
    assert started_at(daemon) == before
    assert "answer only after their restart" not in daemon.log()


def test_the_port_is_free_when_its_container_has_ended(daemon: Wharfd) -> None:
    os.kill(netd(daemon), signal.SIGKILL)
    until(lambda: answers(daemon, "::1"))
    daemon.docker("run", "-d", "--name", "other", "busybox", "sleep", "1000")
    daemon.docker("stop", "-t", "0", "web")
    refused = daemon.docker("run", "--rm", "-p", "18044:80", "busybox", "echo", "mine")
    assert refused.stdout == "mine\n"
    daemon.docker("start", "web")
    until(lambda: answers(daemon, "::1"))
    daemon.docker("rm", "-f", "other")


def test_names_are_answered_again(daemon: Wharfd) -> None:
    daemon.docker("network", "create", "named")
    daemon.docker("run", "-d", "--name", "asks", "--network", "named", "busybox", "sleep", "1000")
    daemon.docker("run", "-d", "--name", "target", "--network", "named", "busybox", "sleep", "1000")
    old = netd(daemon)
    os.kill(old, signal.SIGKILL)
    until(lambda: netd(daemon) not in (0, old))
    lookup = ("exec", "asks", "nslookup", "target")
    until(lambda: daemon.docker(*lookup, check=False).returncode == 0)
    daemon.docker("rm", "-f", "asks", "target")
    daemon.docker("network", "rm", "named")
