"""Many clients at a few containers, each doing anything at any time: no answer is a failure, nothing is left."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import pytest

from tests.support.wharfd import Wharfd

CLIENTS = 8
STEPS = 60
NAMES = [f"shared-{number}" for number in range(4)]
PROGRAMS = ["sleep 100", "exit 3", "echo x; sleep 0.1"]
# Docker answers 500 for it.
EXPECTED = "is not paused"


@pytest.fixture
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        yield started


def create(client: Any, name: str, chance: random.Random) -> None:
    client.containers.create(
        "busybox",
        ["sh", "-c", chance.choice(PROGRAMS)],
        name=name,
        restart_policy=chance.choice([None, {"Name": "always"}]),
        network_mode=chance.choice(["none", "bridge"]),
        ports=chance.choice([{}, {"80/tcp": None}]),
        volumes=chance.choice([[], ["/data"]]),
    )


def pause(client: Any, name: str, _: random.Random) -> None:
    """And thaw: an exec that is frozen while it runs keeps its client waiting."""
    container = client.containers.get(name)
    container.pause()
    container.unpause()


OPERATIONS: list[Callable[[Any, str, random.Random], object]] = [
    create,
    create,
    lambda client, name, _: client.containers.get(name).start(),
    lambda client, name, _: client.containers.get(name).start(),
    lambda client, name, chance: client.containers.get(name).stop(timeout=chance.choice([0, 1])),
    lambda client, name, chance: client.containers.get(name).kill(chance.choice(["KILL", "TERM"])),
    lambda client, name, chance: client.containers.get(name).remove(force=chance.random() < 0.5, v=True),
    pause,
    lambda client, name, _: client.containers.get(name).restart(timeout=0),
    lambda client, name, _: client.containers.get(name).exec_run("true"),
    lambda client, name, _: client.containers.get(name).logs(),
    lambda client, name, chance: client.containers.get(name).rename(f"{name}-{chance.randrange(100)}"),
    lambda client, name, _: client.containers.run("busybox", "true", remove=True, network_mode="none"),
    lambda client, name, _: client.containers.list(all=True, ignore_removed=True),
]


def work(daemon: Wharfd, seed: int, failures: list[str]) -> None:
    chance = random.Random(seed)
    client: Any = docker.DockerClient(base_url=daemon.host, timeout=60)
    for _ in range(STEPS):
        operation, name = chance.choice(OPERATIONS), chance.choice(NAMES)
        try:
            operation(client, name, chance)
        except docker.errors.APIError as error:
            text = str(error.explanation)
            if error.response.status_code >= 500 and EXPECTED not in text:
                failures.append(text)
        except Exception as error:
            failures.append(f"{type(error).__name__}: {error}")
    client.close()


@pytest.mark.slow
@pytest.mark.xdist_group("engine-together")
def test_many_clients_at_few_containers(daemon: Wharfd) -> None:
    failures: list[str] = []
    threads = [threading.Thread(target=work, args=(daemon, seed, failures)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = daemon.docker("ps", "-aq").stdout.split()
    if left:
        daemon.docker("rm", "-f", "-v", *left)
    assert not failures
    assert not daemon.docker("volume", "ls", "-q").stdout
    for place in ("exec/monitors", "data/containers", "data/snapshots/active"):
        assert not os.listdir(Path(daemon.root, place)), place


def test_a_volume_of_a_container_in_the_making_is_not_unused(daemon: Wharfd) -> None:
    """Somebody prunes all the time; whoever makes containers finds their volumes."""
    over = threading.Event()
    pruner = docker.DockerClient(base_url=daemon.host, version="1.51")

    def prune() -> None:
        while not over.is_set():
            pruner.volumes.prune(filters={"all": True})

    thread = threading.Thread(target=prune)
    thread.start()
    client = docker.DockerClient(base_url=daemon.host, version="1.51")
    try:
        for number in range(15):
            made = client.containers.create("busybox", "true", volumes=["/anonymous", f"named-{number % 3}:/named"])
            for mount in made.attrs["Mounts"]:
                assert client.volumes.get(mount["Name"]).attrs["Mountpoint"] == mount["Source"]
            made.start()
            made.remove(force=True, v=True)
    finally:
        over.set()
        thread.join()
        for open_client in (client, pruner):
            open_client.close()
