"""testcontainers-python, unmodified, against wharfd: containers with wait strategies, a network, exec, and a reaper
that takes everything away when its user has gone. The whole of its own tests: `make test-testcontainers`."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.suites.testcontainers_core import build_reaper
from tests.support.busybox import docker_archive, layer_tar
from tests.support.layers import layer
from tests.support.wharfd import ROOT, Wharfd

SESSION = Path(__file__).with_name("testcontainers_session.py")
REAPER = "testcontainers/ryuk:0.8.1"
SECONDS = 20.0


@pytest.fixture
def daemon() -> Iterator[Wharfd]:
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler for the reaper's stand-in: install gcc and libc6-dev")
    with Wharfd() as running:
        running.load_busybox()
        path = Path(running.root) / "reaper.tar"
        path.write_bytes(docker_archive(REAPER, [layer_tar(), layer({"reaper": build_reaper()}, mode=0o755)],
                                        {"Cmd": ["/reaper"]}))  # fmt: skip
        running.docker("load", "-q", "-i", str(path))
        yield running


def test_a_session_and_the_end_of_it(daemon: Wharfd) -> None:
    environment = {
        **daemon.environment,
        "TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE": daemon.socket,
        "RYUK_RECONNECTION_TIMEOUT": "1s",
        "TC_POOLING_INTERVAL": "0.1",
        "HOME": daemon.root,
        "PYTHONPATH": str(ROOT),
    }
    session = subprocess.Popen(
        [*daemon.enter, sys.executable, str(SESSION)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert session.stdin and session.stdout and session.stderr
    line = session.stdout.readline()
    assert line, session.stderr.read() + daemon.log()
    seen = json.loads(line)
    names = daemon.docker("ps", "--format", "{{.Names}}").stdout.split()
    assert seen.pop("reaper") in names and len(names) == 3
    assert seen == {
        "fetched": "hello\n", "exec": [0, "hello\n"], "env": 3, "logs": "ready\n", "short": [0, "done\n"],
    }  # fmt: skip
    session.kill()  # it takes nothing away itself
    session.communicate()
    deadline = time.monotonic() + SECONDS
    while daemon.docker("ps", "-aq").stdout and time.monotonic() < deadline:
        time.sleep(0.1)  # the reaper polls
    assert daemon.docker("ps", "-a").stdout.count("\n") == 1
