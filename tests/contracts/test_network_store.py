"""What the network manager asks of a store of records; every store is held to it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.network.conftest import MemoryStore
from wharf.network.contracts import NetworkStore
from wharf.spec.network import Ipam, IpamConfig, NetworkRecord
from wharf.storage.metadata.database import Database

RECORD = NetworkRecord(
    "bridge",
    "ab" * 32,
    "2026-01-01T00:00:00.000000000Z",
    ipam=Ipam(config=[IpamConfig("172.17.0.0/16", gateway="172.17.0.1")]),
    options={"com.docker.network.driver.mtu": "1500"},
)


def database(path: Path) -> NetworkStore:
    return Database(str(path / "wharf.db")).networks


@pytest.mark.parametrize("factory", [lambda path: MemoryStore(), database])
def test_records_are_kept_whole_and_replaced_by_id(tmp_path: Path, factory: Callable[[Path], NetworkStore]) -> None:
    store = factory(tmp_path)
    assert list(store.all()) == []
    store.put(RECORD)
    assert list(store.all()) == [RECORD]
    changed = dataclasses.replace(RECORD, labels={"a": "b"})
    store.put(changed)
    assert list(store.all()) == [changed]
    other = dataclasses.replace(RECORD, id="cd" * 32, name="none", driver="null")
    store.put(other)
    assert sorted(record.name for record in store.all()) == ["bridge", "none"]
