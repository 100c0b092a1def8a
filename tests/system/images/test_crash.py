"""kill -9 in the middle: the next start finds the old state or the new one, nothing in between. Many at once too."""

import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.images.test_load import load, small_layer
from tests.support.busybox import docker_archive
from tests.support.images import SlowSource, image_engine
from wharf.engine.image_delete import delete_image
from wharf.engine.image_transfer import ImportRequest, import_image
from wharf.engine.volumes import ensure_volume, list_volumes, remove_volume, restore_volumes
from wharf.errors import Conflict, NotFound

LAYERS = [small_layer("a", b"a" * 300_000), small_layer("b", b"b" * 300_000)]


def work(engine: Any, random_number: random.Random) -> None:
    """Everything that writes, again and again."""
    archives = [docker_archive("one:1", LAYERS), docker_archive("two:1", LAYERS[:1]), docker_archive(None, LAYERS[1:])]
    while True:
        load(engine, random_number.choice(archives))
        import_image(engine, SlowSource(LAYERS[1]), ImportRequest("imported"), lambda message: None)
        ensure_volume(engine, "data")
        for image in engine.images.all():
            if random_number.random() < 0.7:
                delete_image(engine, image.id.hex, force=True)
        remove_volume(engine, "data")


def check(root: Path) -> None:
    """The next start, and what must hold then."""
    with image_engine(root) as engine:
        restore_volumes(engine)
        images = engine.images.all()
        assert engine.leftovers() == []
        blobs = {str(blob.digest) for image in images for blob in image.blobs}
        assert engine.blobs() == blobs
        chains = {chain_id for image in images for chain_id in image.chain}
        assert set(engine.snapshots.chain_ids()) <= chains
        for image in images:
            assert engine.content.read(image.id, 1 << 20)
            assert all(engine.snapshots.exists(chain_id) for chain_id in image.chain)
        assert sorted(engine.volumes.names()) == [volume.name for volume in list_volumes(engine, {}).volumes]


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_leaves_the_old_state_or_the_new_one(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                with image_engine(tmp_path) as engine:
                    work(engine, chance)
            finally:
                os._exit(1)
        time.sleep(chance.uniform(0.02, 0.5))  # not a wait for anything: the moment of the kill is the test's input
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        check(tmp_path)


def test_loads_imports_and_deletions_at_once(tmp_path: Path) -> None:
    archives = [docker_archive(f"n{number}:1", LAYERS[: 1 + number % 2]) for number in range(4)]
    failures: list[BaseException] = []

    def run(engine: Any, number: int) -> None:
        try:
            for _ in range(5):
                load(engine, archives[number])
                try:
                    delete_image(engine, f"n{number}:1", force=True)
                except (Conflict, NotFound):
                    pass  # the same image under another thread's name
        except BaseException as error:
            failures.append(error)

    with image_engine(tmp_path) as engine:
        threads = [threading.Thread(target=run, args=(engine, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
    check(tmp_path)
