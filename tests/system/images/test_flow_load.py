"""The flow of docs/flow-load.md with the docker command line: in, changed, out, and in again elsewhere."""

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive, layer_tar
from tests.support.wharfd import Wharfd, docker_client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as made:
        yield made


def state(daemon: Wharfd) -> tuple[set[str], set[str], list[str]]:
    """Blobs, snapshots and leftovers on the daemon's disk."""
    data = Path(daemon.root) / "data"
    snapshots = {name for name in os.listdir(data / "snapshots/committed") if not name.endswith(".init")}
    leftovers = [name for name in os.listdir(data / "content/ingest") if name != ".unsynced"]
    return (
        set(os.listdir(data / "content/blobs/sha256")),
        snapshots,
        [*leftovers, *os.listdir(data / "snapshots/active")],
    )


def test_an_image_goes_through_two_daemons_unchanged(daemon: Wharfd, tmp_path: Path) -> None:
    archive = tmp_path / "box.tar"
    archive.write_bytes(docker_archive("flow:1", config={"Labels": {"a": "b"}}))
    assert daemon.docker("load", "-i", str(archive)).stdout == "Loaded image: flow:1\n"
    assert daemon.docker("run", "--name", "work", "--network", "none", "flow:1", "sh", "-c",
                         "echo new >/made; rm /etc/group").stdout == ""  # fmt: skip
    made = daemon.docker("commit", "-m", "made", "-c", 'CMD ["cat","/made"]', "work", "flow:2").stdout.strip()
    assert daemon.docker("run", "--rm", "--network", "none", "flow:2").stdout == "new\n"
    saved = tmp_path / "saved.tar"
    daemon.docker("save", "-o", str(saved), "flow:1", "flow:2")
    with Wharfd() as other:
        loaded = other.docker("load", "-i", str(saved)).stdout
        assert sorted(loaded.splitlines()) == ["Loaded image: flow:1", "Loaded image: flow:2"]
        assert other.docker("images", "-q", "--no-trunc", "flow:2").stdout.strip() == made
        assert other.docker("run", "--rm", "--network", "none", "flow:2").stdout == "new\n"
        again = tmp_path / "again.tar"
        other.docker("save", "-o", str(again), "flow:1", "flow:2")
        assert again.read_bytes() == saved.read_bytes()
    daemon.docker("rm", "work")
    daemon.docker("rmi", "flow:2", "flow:1")
    assert state(daemon) == (set(), set(), [])


def test_export_and_import_give_the_tree_back(daemon: Wharfd, tmp_path: Path) -> None:
    out = tmp_path / "root.tar"
    out.write_bytes(layer_tar())
    first = daemon.docker("import", "-c", "CMD ls /bin/sh", "-m", "by hand", str(out), "root:1").stdout.strip()
    view = json.loads(daemon.docker("inspect", "root:1").stdout)[0]
    assert (view["Id"], view["Comment"], view["Config"]["Cmd"]) == (first, "by hand", ["/bin/sh", "-c", "ls /bin/sh"])
    daemon.docker("create", "--name", "copy", "root:1")
    exported = tmp_path / "exported.tar"
    daemon.docker("export", "-o", str(exported), "copy")
    with tarfile.open(out) as want, tarfile.open(exported) as got:
        assert {name.rstrip("/") for name in want.getnames()} <= {name.rstrip("/") for name in got.getnames()}
    daemon.docker("rm", "copy")
    daemon.docker("rmi", "root:1")
    assert state(daemon) == (set(), set(), [])


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(daemon: Wharfd) -> None:
    data = docker_archive("cut:1")
    client = subprocess.Popen(
        [docker_client(), "load"], env=daemon.environment, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert client.stdin is not None and client.stdout is not None
    client.stdin.write(data[: len(data) // 2])
    client.stdin.flush()
    client.kill()
    client.wait()
    client.stdin.close()
    client.stdout.close()
    path = Path(daemon.root) / "whole.tar"
    path.write_bytes(docker_archive("whole:1"))
    daemon.docker("load", "-i", str(path))
    daemon.docker("rmi", "whole:1")
    assert daemon.docker("images", "-q").stdout == ""
    deadline = time.monotonic() + 10  # the daemon may still be noticing that its client went
    while state(daemon) != (set(), set(), []):
        assert time.monotonic() < deadline, state(daemon)
        time.sleep(0.02)
