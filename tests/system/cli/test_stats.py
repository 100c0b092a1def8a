"""`wharf stats` and `docker stats`: a table, a stream, and the numbers that a container makes on purpose."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.wharfd import Wharfd
from tests.system.api.raw import exchange
from tests.system.cli.conftest import WHARF, Run

BYTES = 8 << 20
SCRIPT = f"""
head -c {BYTES} /dev/zero >/dev/shm/x
dd if=/dev/zero of=/x bs={BYTES} count=1 conv=fsync 2>/dev/null
echo ready
while :; do :; done
"""


@pytest.fixture(scope="module")
def busy(daemon: Wharfd) -> Iterator[str]:
    """A container with 64 MB that holds and has written BYTES, and spins."""
    flags = ["-d", "--name", "busy", "-m", "64m"]
    daemon.docker("run", *flags, "busybox", "sh", "-c", SCRIPT)
    command = [WHARF, "logs", "-f", "busy"]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "ready\n"
        logs.kill()
    yield "busy"
    daemon.docker("rm", "-f", "busy")


def _sample(daemon: Wharfd, name: str) -> Any:
    head = f"GET /containers/{name}/stats?stream=0&one-shot=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    return json.loads(exchange(daemon.socket, head.encode()).body)


def test_table(wharf: Run, busy: str) -> None:
    done = wharf("stats", "--no-stream", busy)
    heads, row = done.stdout.splitlines()
    names = ("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS")
    places = [heads.index(name) for name in names]
    assert places == sorted(places)
    cells = [row[start:end].strip() for start, end in zip(places, [*places[1:], None], strict=True)]
    assert cells[1] == busy
    assert float(cells[2].removesuffix("%")) > 1
    assert cells[3].endswith(" / 64MiB")
    used = float(cells[4].removesuffix("%"))
    assert 100 * BYTES / (64 << 20) <= used < 100
    assert cells[7] == "1"


def test_as_docker_sees_it(daemon: Wharfd, busy: str) -> None:
    shown = daemon.docker("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", busy).stdout
    assert shown.startswith(f"{busy} 1 ")
    assert shown.endswith(" / 64MiB\n")


def test_block_devices_are_counted(daemon: Wharfd, busy: str) -> None:
    counted = _sample(daemon, busy)["blkio_stats"]
    written = [item for item in counted["io_service_bytes_recursive"] or () if item["op"].lower() == "write"]
    if not written:
        pytest.skip("the data root lies on no block device")
    assert sum(item["value"] for item in written) >= BYTES
    assert {"major", "minor", "op", "value"} == set(written[0])
    operations = [item["value"] for item in counted["io_serviced_recursive"] if item["op"].lower() == "write"]
    assert sum(operations) > 0


def test_json_has_every_field_as_text(wharf: Run, busy: str) -> None:
    (line,) = wharf("stats", "--no-stream", "--format", "json", busy).stdout.splitlines()
    found = json.loads(line)
    assert sorted(found) == [
        "BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs",
    ]  # fmt: skip
    assert all(isinstance(value, str) for value in found.values())


def test_running_ones_or_all(daemon: Wharfd, wharf: Run, busy: str) -> None:
    daemon.docker("create", "--name", "idle", "busybox", "true")
    form = ("--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}")
    running, every = wharf("stats", *form).stdout, wharf("stats", "-a", *form).stdout
    assert {line.split()[0] for line in running.splitlines()} == {"web", busy}
    assert {line.split()[0] for line in every.splitlines()} == {"web", busy, "idle"}
    assert "idle 0.00% 0B / 0B 0\n" in every
    daemon.docker("rm", "idle")


def test_stream_goes_on_until_the_container_has_gone(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "brief", "busybox", "sleep", "1000")
    command = [WHARF, "stats", "--format", "{{.Name}}", "brief"]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE, text=True) as stream:
        assert stream.stdout is not None
        assert [stream.stdout.readline() for _ in range(2)] == ["brief\n"] * 2
        daemon.docker("rm", "-f", "brief")
        assert stream.wait(60) == 0


def test_help_has_an_example(wharf: Run) -> None:
    for verb in ("stats", "top", "update"):
        done = wharf(verb, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"wharf {verb} " in done.stdout.partition("Example")[2]
