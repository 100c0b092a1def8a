"""kill -9 of wharfd at random moments: the next start finds every container in its true state, and no line is lost.

The moments fall into run, exec and logs -f. Writers number their lines, so that a missing or a doubled line shows.
"""

import os
import random
import subprocess
import time

import pytest

from tests.support.wharfd import Wharfd, docker_client

KILLS = 50
SEED = int(os.environ.get("WHARF_TEST_SEED", "20261123"))
WRITERS = ("writer-fast", "writer-slow")
BURSTS = {"writer-fast": 20, "writer-slow": 1}
"""Lines that are written at once, each 40 ms."""
RECENT = 10_000
COUNT = (
    "i=0; while true; do j=0; while [ $j -lt {burst} ]; do echo line $i; i=$((i+1)); j=$((j+1)); done; "
    "usleep 40000; done"
)
SHORT = "i=0; while [ $i -lt 30 ]; do echo line $i; i=$((i+1)); usleep 5000; done; exit {code}"


@pytest.mark.slow
def test_fifty_kills_lose_nothing() -> None:
    moments = random.Random(SEED)
    with Wharfd() as daemon:
        daemon.load_busybox()
        for name in WRITERS:
            script = COUNT.format(burst=BURSTS[name])
            daemon.docker("run", "-d", "--name", name, "--network", "none", "busybox", "sh", "-c", script)
        written = dict.fromkeys(WRITERS, 0)
        for round_number in range(KILLS):
            code = round_number % 100 + 1
            clients = _work(daemon, round_number, code)
            time.sleep(moments.uniform(0, 0.4))
            daemon.kill()
            for client in clients:
                client.kill()
                client.wait()
            time.sleep(moments.choice((0, 0, 0.3)))
            daemon.start()
            for name in WRITERS:
                assert _state(daemon, name) == "running", f"round {round_number}"
                count = _check_lines(daemon, name, f"round {round_number}", written[name])
                assert count >= written[name], f"round {round_number}: {name} lost lines"
                written[name] = count
            _check_short(daemon, round_number, code)
        for name in WRITERS:
            assert _check_lines(daemon, name, "at the end") >= written[name]
            daemon.docker("rm", "-f", name)


def _work(daemon: Wharfd, round_number: int, code: int) -> list[subprocess.Popen[bytes]]:
    script = SHORT.format(code=code)
    lines = [
        ["run", "-d", "--name", f"short-{round_number}", "busybox", "sh", "-c", script],
        ["exec", WRITERS[0], "sh", "-c", "usleep 50000; echo done"],
        ["logs", "-f", "--tail", "5", WRITERS[1]],
        ["run", "--rm", "--name", f"gone-{round_number}", "--network", "none", "busybox", "sh", "-c", script],
    ]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return [subprocess.Popen([docker_client(), *line], env=daemon.environment, **quiet) for line in lines]


def _state(daemon: Wharfd, name: str) -> str:
    return daemon.docker("inspect", "-f", "{{.State.Status}}", name).stdout.strip()


def _check_lines(daemon: Wharfd, name: str, when: str, checked: int = 0) -> int:
    """How many lines there are. The first `checked` were looked at before: only what is recent is read then."""
    recent = ("--tail", str(RECENT)) if checked else ()
    lines = daemon.docker("logs", *recent, name).stdout.splitlines()
    first = int(lines[0].removeprefix("line ")) if lines else 0
    assert first <= checked, f"{when}: {name} wrote more than is read"
    expected = [f"line {number}" for number in range(first, first + len(lines))]
    assert lines == expected, f"{when}: {name} has lines missing or double"
    return first + len(lines)


def _check_short(daemon: Wharfd, round_number: int, code: int) -> None:
    """The short container is absent, was never started, or ends with its own code and all its lines."""
    name, when = f"short-{round_number}", f"round {round_number}"
    found = daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    gone = f"gone-{round_number}"
    if name in found:
        if _state(daemon, name) != "created":
            assert daemon.docker("wait", name).stdout.strip() == str(code), when
            assert _state(daemon, name) == "exited", when
            assert _check_lines(daemon, name, when) == 30, when
        daemon.docker("rm", "-f", name)
    if gone in found:
        # Removal is the engine's own affair, also when the daemon that promised it was killed.
        if _state_or_nothing(daemon, gone) == "created":
            daemon.docker("rm", "-f", gone)
        else:
            daemon.docker("wait", gone, check=False)
    deadline = time.monotonic() + 10
    while gone in daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split():
        assert time.monotonic() < deadline, f"{when}: {gone} was not removed"
        time.sleep(0.05)


def _state_or_nothing(daemon: Wharfd, name: str) -> str:
    return daemon.docker("inspect", "-f", "{{.State.Status}}", name, check=False).stdout.strip()
