"""The database: records come back equal, transactions are whole, a killed process loses nothing it acknowledged."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from wharf.errors import Conflict, Internal
from wharf.spec.container import (
    ContainerConfig,
    ContainerRecord,
    ExecConfig,
    ExecRecord,
    Healthcheck,
    HostConfig,
    MountPoint,
    PortBinding,
)
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor, HealthConfig, History, Image, ImageConfig
from wharf.spec.image_record import ImageRecord, NameRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.volume import VolumeRecord
from wharf.storage.metadata import Database, codec
from wharf.storage.metadata.database import LOG_ROOM

CONTAINER = ContainerRecord(
    id="a" * 64,
    name="web",
    created="2024-01-01T00:00:00Z",
    image_id="sha256:" + "1" * 64,
    config=ContainerConfig(env=["A=ü\n"], cmd=[], healthcheck=Healthcheck(["CMD", "x"], 5)),
    host_config=HostConfig(port_bindings={"80/tcp": [PortBinding("::1", "8")], "81/tcp": None}, memory=1 << 40),
    mounts=[MountPoint("volume", "v", rw=False)],
    ports={"80/tcp": None},
)
IMAGE = ImageRecord(
    id=Digest("2" * 64),
    image=Image(
        ImageConfig(env=("A=1",), cmd=("sh",), healthcheck=HealthConfig(["NONE"]), entrypoint=()),
        (Digest("3" * 64),),
        Platform("linux", "arm", "v7"),
        history=(History("t", "by"), History(empty_layer=True)),
        extra={"moby.x": [1, {"y": None}]},
    ),
    manifest=Descriptor("m", Digest("4" * 64), 7, {"k": "v"}, Platform()),
    config=Descriptor("c", Digest("2" * 64), 8),
    layers=(Descriptor("l", Digest("3" * 64), 9),),
    layer_sizes=(10,),
    parent=Digest("5" * 64),
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(str(tmp_path / "wharf.db"))


@pytest.mark.parametrize("record", [CONTAINER, IMAGE, VolumeRecord("v", "/x", "t", labels={"a": ""})], ids=type)
def test_a_record_comes_back_equal(record: object) -> None:
    assert codec.decode(type(record), codec.encode(record)) == record


def test_defaults_are_left_out_and_unknown_keys_ignored() -> None:
    assert "memory_swap" not in codec.encode(CONTAINER)
    assert codec.decode(VolumeRecord, '{"name":"v","mountpoint":"/","created":"","newer":1}').name == "v"


def test_tables_put_get_list_delete(database: Database) -> None:
    database.containers.put(CONTAINER)
    database.execs.put(ExecRecord("e", CONTAINER.id, ExecConfig(cmd=["x"])))
    assert database.containers.get(CONTAINER.id) == database.containers.find_by_name("web") == CONTAINER
    database.containers.put(CONTAINER)  # an update must not take the execs along, as REPLACE would
    assert len(database.execs.where("container_id", CONTAINER.id)) == 1
    assert database.containers.delete(CONTAINER.id) and not database.containers.delete(CONTAINER.id)
    assert database.execs.all() == []


def test_names_go_with_their_image(database: Database) -> None:
    database.images.put(IMAGE)
    database.names.put(NameRecord(Reference.parse("a:1"), IMAGE.id, IMAGE.manifest))
    assert database.images.get(str(IMAGE.id)) == IMAGE
    database.images.delete(str(IMAGE.id))
    assert database.names.all() == []


def test_a_name_is_unique(database: Database) -> None:
    database.containers.put(CONTAINER)
    other = codec.decode(ContainerRecord, codec.encode(CONTAINER))
    other.id = "b" * 64
    with pytest.raises(Conflict):
        database.containers.put(other)
    assert [record.id for record in database.containers.all()] == [CONTAINER.id]


def test_a_transaction_is_whole_and_nests(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction():
        database.kv.put("a", "1")
        with database.transaction(durable=False):
            database.kv.put("b", "2")
        assert database.kv.get("b") == "2"
        raise RuntimeError
    assert database.kv.get("a") is database.kv.get("b") is None


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    database.kv.put("a", "old")
    seen: list[str | None] = []
    with database.transaction():
        database.kv.put("a", "new")
        reader = threading.Thread(target=lambda: seen.append(database.kv.get("a")))
        reader.start()
        reader.join(5)
    assert seen == ["old"]
    assert database.kv.get("a") == "new"


def test_many_threads_write(database: Database) -> None:
    def write(number: int) -> None:
        for step in range(20):
            database.kv.put(f"{number}-{step}", "x")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(database.read("SELECT key FROM settings")) == 160


def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        database = Database(str(tmp_path / "wharf.db"))
        for number in range(10_000):
            database.kv.put(str(number), "x")
            os.write(writer, b".")
        os._exit(0)
    os.close(writer)
    acknowledged = 0
    while acknowledged < 200:
        acknowledged += len(os.read(reader, 50))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while data := os.read(reader, 65536):
        acknowledged += len(data)
    os.close(reader)
    rows = Database(str(tmp_path / "wharf.db")).read("SELECT key FROM settings")
    assert acknowledged <= len(rows) <= acknowledged + 1


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "wharf.db")
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=999")
    connection.close()
    with pytest.raises(Internal, match="written by a newer release"):
        Database(path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wharf.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(Internal, match="cannot open the database"):
        Database(str(path))


def test_a_full_disk_takes_what_happens_to_what_is_known(tmp_path: Path) -> None:
    """The log has its room from the start, also when checkpoints find none for the database itself."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(tmp_path)], check=True)
    try:
        database = Database(str(tmp_path / "wharf.db"))
        database.containers.put(CONTAINER)
        with contextlib.suppress(OSError), open(tmp_path / "filler", "wb", buffering=0) as filler:
            while filler.write(b"\0" * 4096):
                pass
        assert os.statvfs(tmp_path).f_bfree == 0
        for number in range(1, 2000):
            database.containers.put(replace(CONTAINER, name=f"web-{number}"), durable=False)
        database.containers.delete(CONTAINER.id)
        database.close()
        database = Database(str(tmp_path / "wharf.db"))
        assert database.containers.all() == []
        os.unlink(tmp_path / "filler")
        database.containers.put(CONTAINER)
        assert os.stat(tmp_path / "wharf.db-wal").st_blocks * 512 >= LOG_ROOM
        database.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
