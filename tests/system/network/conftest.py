"""A host of its own for each test of the network."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.system.network import dns_place
from tests.system.network import lab as labs
from wharf.network.manager import EndpointRequest, NetworkConfig, NetworkManager, SandboxTarget
from wharf.network.names import Names
from wharf.network.netd.client import NetdClient
from wharf.spec.network import Endpoint, NetworkRecord, PortRequest

client, here, monitor, place, said = (
    dns_place.client, dns_place.here, dns_place.monitor, dns_place.place, dns_place.said,
)  # fmt: skip
"""Fixtures of the tests of names."""


@dataclass
class MemoryStore:
    """Records kept in memory: a real, small NetworkStore."""

    records: dict[str, NetworkRecord] = field(default_factory=dict)

    def put(self, record: NetworkRecord) -> None:
        self.records[record.id] = record

    def all(self) -> list[NetworkRecord]:
        return list(self.records.values())

    def delete(self, key: str) -> bool:
        return self.records.pop(key, None) is not None


@dataclass
class Net:
    """A started manager on the lab's host, and what it said."""

    manager: NetworkManager
    lab: labs.Lab
    store: MemoryStore
    said: list[str]
    stopped: bool = False

    def stop(self, remove: bool) -> None:
        if not self.stopped:
            self.manager.close(remove)
        self.stopped = True

    def start(self, *requests: PortRequest, monitor: int = -1) -> tuple[Endpoint, labs.Sandbox]:
        """A sandbox on the default bridge with these ports published."""
        sandbox = self.lab.sandbox()
        endpoint = self.manager.allocate("bridge", EndpointRequest("s"))
        published = self.manager.publish(endpoint, "box", requests)
        self.manager.connect([published], SandboxTarget(sandbox.netns, sandbox.route, monitor))
        return published.endpoint, sandbox


@pytest.fixture
def lab() -> Iterator[labs.Lab]:
    if os.geteuid():
        pytest.skip("needs root")
    before = labs.current()
    made = labs.make_lab()
    yield made
    made.closing.close()
    labs.enter(before)
    for descriptor in (before, made.host, made.outside):
        os.close(descriptor)


@pytest.fixture
def make_net(lab: labs.Lab, tmp_path: Path) -> Iterator[Callable[..., Net]]:
    made: list[Net] = []

    def make(
        config: NetworkConfig | None = None,
        store: MemoryStore | None = None,
        running: tuple[Endpoint, ...] = (),
        netd: bool = False,
    ) -> Net:
        store, said, config = store or MemoryStore(), list[str](), config or NetworkConfig("")
        relay = NetdClient(str(tmp_path), Names(config.instance).table, said.append) if netd else None
        manager = NetworkManager(config, store, said.append, relay)
        manager.start(running)
        made.append(Net(manager, lab, store, said))
        return made[-1]

    yield make
    for net in made:
        net.stop(remove=True)


@pytest.fixture
def net(make_net: Callable[..., Net]) -> Net:
    return make_net()
