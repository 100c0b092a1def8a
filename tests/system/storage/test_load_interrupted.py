"""wharfd killed while it loads: the next start has all of the image or nothing of it, and no leftovers."""

import hashlib
import io
import json
import os
import random
import re
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd, docker_client
from tests.system.storage.conftest import archive
from wharf.storage.layers.header import DIRECTORY, Entry

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
FILES = 4000
ROUNDS = 6


def image(layer: bytes, name: str) -> bytes:
    """What `docker save` gave once: a config, a layer, a manifest."""
    diff_id = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    manifest = [{"Config": "c.json", "RepoTags": [name], "Layers": ["l/layer.tar"]}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in (
            ("c.json", json.dumps(config).encode()),
            ("l/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def many_files() -> bytes:
    chance = random.Random(3)
    entries: list[Entry | tuple[Entry, bytes]] = [Entry(b"d/", DIRECTORY, 0o755)]
    entries += [(Entry(b"d/%d" % number), chance.randbytes(2000)) for number in range(FILES)]
    return archive(*entries)


def leftovers(data: Path) -> list[str]:
    """What no image names: nothing may be there without one."""
    places = ("content/blobs/sha256", "content/ingest", "snapshots/active", "snapshots/committed", "snapshots/staging")
    return [f"{place}/{name}" for place in places for name in os.listdir(data / place)]


def images(daemon: Wharfd) -> list[str]:
    listed = subprocess.run(
        [docker_client(), "images", "-aq", "--no-trunc"],
        env=daemon.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


def test_a_kill_leaves_all_or_nothing(tmp_path: Path) -> None:
    source = tmp_path / "image.tar"
    source.write_bytes(image(many_files(), "big:latest"))
    load = [docker_client(), "load", "-q", "-i", str(source)]
    chance = random.Random()
    with Wharfd() as daemon:
        began = time.monotonic()
        subprocess.run(load, env=daemon.environment, check=True, stdout=subprocess.DEVNULL)
        whole = time.monotonic() - began
        subprocess.run([docker_client(), "rmi", "big"], env=daemon.environment, check=True, stdout=subprocess.DEVNULL)
        assert leftovers(Path(daemon.root) / "data") == []
        for _ in range(ROUNDS):
            client = subprocess.Popen(
                load, env=daemon.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                client.wait(chance.uniform(0, whole))
            except subprocess.TimeoutExpired:
                pass
            assert daemon.process is not None
            os.kill(daemon.process.pid, signal.SIGKILL)
            daemon.process.wait()
            client.wait()
            daemon.start()
            if images(daemon):
                view = daemon.root + "/out"
                made = subprocess.run(
                    [docker_client(), "create", "--name", "cc", "big", "x"], env=daemon.environment, check=True,
                    stdout=subprocess.DEVNULL,
                )  # fmt: skip
                assert made.returncode == 0
                subprocess.run(
                    [docker_client(), "cp", "cc:/d", view],
                    env=daemon.environment,
                    check=True,
                    stderr=subprocess.DEVNULL,
                )
                assert len(os.listdir(view)) == FILES
                subprocess.run(["rm", "-r", view], check=True)
                for command in (["rm", "cc"], ["rmi", "big"]):
                    subprocess.run(
                        [docker_client(), *command], env=daemon.environment, check=True, stdout=subprocess.DEVNULL
                    )
            assert leftovers(Path(daemon.root) / "data") == []


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Entry(b"../evil"), '"../evil": a path with ".." is outside of the root'),
        (Entry(b"/evil"), "an absolute path is outside of the root"),
        (Entry(b".wh.."), "whiteout of the root"),
        (Entry(b"x", b"1", link=b"../../../../etc/passwd"), "invalid hardlink"),
    ],
)
def test_docker_load_and_import_refuse_a_hostile_layer(tmp_path: Path, entry: Entry, words: str) -> None:
    layer = archive((Entry(b"fine"), b"x"), entry)
    (tmp_path / "image.tar").write_bytes(image(layer, "evil:latest"))
    (tmp_path / "layer.tar").write_bytes(layer)
    with Wharfd() as daemon:
        data = Path(daemon.root) / "data"
        for command in (["load", "-i", str(tmp_path / "image.tar")], ["import", str(tmp_path / "layer.tar"), "evil"]):
            ran = subprocess.run(
                [docker_client(), *command], env=daemon.environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 1
            assert re.search(words, ran.stderr), ran.stderr
            # An imported layer has no digest yet when it is refused.
            assert command[0] == "import" or re.search("layer sha256:[0-9a-f]{64}: ", ran.stderr), ran.stderr
            assert images(daemon) == []
            assert leftovers(data) == []
        assert not list(data.rglob("*evil*"))
