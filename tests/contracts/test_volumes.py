"""Volumes: names, reuse, use, removal, prune."""

import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.images import image_engine
from wharf.engine import check_volumes
from wharf.engine.volumes import (
    create_volume,
    ensure_volume,
    inspect_volume,
    list_volumes,
    prune_volumes,
    remove_anonymous,
    remove_volume,
    restore_volumes,
    with_usage,
)
from wharf.errors import Conflict, Invalid, NotFound
from wharf.spec.container import MountPoint
from wharf.spec.volume import ANONYMOUS_LABEL, VolumeCreate, VolumeRecord


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


def use(engine: Any, name: str) -> Any:
    return engine.containers.add("sha256:" + "0" * 64, mounts=[MountPoint("volume", name)])


def test_create_inspect_and_create_again(engine: Any) -> None:
    made = create_volume(engine, VolumeCreate("data", labels={"a": "b"}))
    assert made == inspect_volume(engine, "data") == create_volume(engine, VolumeCreate("data"))
    assert made.mountpoint.endswith("/volumes/data/_data") and os.path.isdir(made.mountpoint)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.created_at)
    assert (made.driver, made.scope, made.labels, made.options) == ("local", "local", {"a": "b"}, None)
    assert engine.events.seen == [("volume", "create", "data", {"driver": "local"})]


def test_a_name_belongs_to_one_driver_and_keeps_its_first_options(engine: Any) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    made = create_volume(engine, VolumeCreate("data", driver_opts=options))
    assert made.options == options
    assert create_volume(engine, VolumeCreate("data")) == made
    assert create_volume(engine, VolumeCreate("data", driver_opts={**options, "o": "size=1m"})) == made
    engine.database.volumes.put(VolumeRecord("theirs", "/nowhere", made.created_at, driver="plugin"))
    with pytest.raises(Conflict, match="create theirs: conflict: volume name must be unique"):
        create_volume(engine, VolumeCreate("theirs"))


def test_an_anonymous_volume(engine: Any) -> None:
    made = create_volume(engine, VolumeCreate())
    assert re.fullmatch("[0-9a-f]{64}", made.name) and made.labels == {ANONYMOUS_LABEL: ""}


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "a b", "-x", "a\n", "a\0b", "ä", "x" * 300])
def test_a_bad_name_is_refused(engine: Any, name: str) -> None:
    with pytest.raises(Invalid, match="includes invalid characters for a local volume name"):
        create_volume(engine, VolumeCreate(name))
    assert list_volumes(engine, {}).volumes == []


def test_other_refusals(engine: Any) -> None:
    with pytest.raises(Invalid, match="volume name is too short"):
        create_volume(engine, VolumeCreate("a"))
    with pytest.raises(NotFound, match='plugin "nfs" not found'):
        create_volume(engine, VolumeCreate("data", "nfs"))
    with pytest.raises(Invalid, match='invalid option: "x"'):
        create_volume(engine, VolumeCreate("data", driver_opts={"x": "1"}))
    with pytest.raises(Invalid, match='missing required option: "device"'):
        create_volume(engine, VolumeCreate("data", driver_opts={"type": "tmpfs"}))
    with pytest.raises(NotFound, match="get data: no such volume"):
        inspect_volume(engine, "data")


def test_remove(engine: Any) -> None:
    made = create_volume(engine, VolumeCreate("data"))
    container = use(engine, "data")
    with pytest.raises(Conflict, match=re.escape(f"remove data: volume is in use - [{container.id}]")):
        remove_volume(engine, "data", force=True)
    engine.containers.records.clear()
    remove_volume(engine, "data")
    assert not os.path.exists(made.mountpoint)
    with pytest.raises(NotFound, match="get data: no such volume"):
        remove_volume(engine, "data")
    remove_volume(engine, "data", force=True)


def test_list_filters(engine: Any) -> None:
    create_volume(engine, VolumeCreate("data", labels={"a": "b"}))
    create_volume(engine, VolumeCreate("other"))
    use(engine, "data")

    def names(**filters: list[str]) -> list[str]:
        return [volume.name for volume in list_volumes(engine, filters).volumes]

    assert names() == ["data", "other"]
    assert names(dangling=["true"]) == ["other"]
    assert names(dangling=["false"]) == ["data"]
    assert names(name=["dat"]) == ["data"]
    assert names(label=["a=b"]) == ["data"]
    assert names(driver=["local"]) == ["data", "other"]
    with pytest.raises(Invalid, match="invalid filter 'x'"):
        names(x=["1"])


def test_prune_takes_anonymous_ones_unless_told_otherwise(engine: Any) -> None:
    for name in ("named", "used"):
        create_volume(engine, VolumeCreate(name))
    anonymous = ensure_volume(engine, "")
    Path(anonymous.mountpoint, "file").write_bytes(b"12345")
    use(engine, "used")
    report = prune_volumes(engine, {})
    assert (report.volumes_deleted, report.space_reclaimed) == ([anonymous.name], 5)
    assert prune_volumes(engine, {"all": ["true"], "label": ["x"]}).volumes_deleted == []
    assert prune_volumes(engine, {}, api_version=(1, 41)).volumes_deleted == ["named"]
    assert [volume.name for volume in list_volumes(engine, {}).volumes] == ["used"]


def test_anonymous_volumes_go_with_their_last_container(engine: Any) -> None:
    first, named = ensure_volume(engine, "").name, ensure_volume(engine, "named").name
    mounts = [MountPoint("volume", first), MountPoint("volume", named)]
    one = engine.containers.add("sha256:" + "0" * 64, mounts=mounts)
    two = engine.containers.add("sha256:" + "0" * 64, mounts=mounts)
    remove_anonymous(engine, one)
    assert len(list_volumes(engine, {}).volumes) == 2
    engine.containers.records.remove(one)
    remove_anonymous(engine, two)
    assert [volume.name for volume in list_volumes(engine, {}).volumes] == ["named"]


def test_usage(engine: Any) -> None:
    made = ensure_volume(engine, "data")
    Path(made.mountpoint, "file").write_bytes(b"123")
    use(engine, "data")
    usage = with_usage(engine, engine.database.volumes.get("data")).usage_data
    assert usage is not None and (usage.size, usage.ref_count) == (3, 1)


def test_a_crash_between_directory_and_row_is_mended_at_start(engine: Any) -> None:
    create_volume(engine, VolumeCreate("kept"))
    create_volume(engine, VolumeCreate("gone"))
    engine.volumes.remove("gone")
    engine.volumes.create("empty")
    Path(engine.volumes.create("full"), "data").write_bytes(b"x")
    restore_volumes(engine)
    assert [volume.name for volume in list_volumes(engine, {}).volumes] == ["full", "kept"]
    assert sorted(engine.volumes.names()) == ["full", "kept"]


def test_a_check_waits_for_removals(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between data and row a volume looks broken: of one by itself, and of one that goes with its container."""
    monkeypatch.setattr(check_volumes, "_check_mounts", lambda engine: [])
    table, found = engine.database.volumes, []
    delete = table.delete
    looks = threading.Thread(target=lambda: found.extend(check_volumes.check_volumes(engine)))

    def look_first(name: str) -> bool:
        monkeypatch.setattr(table, "delete", delete)
        looks.start()
        looks.join(0.3)
        return bool(delete(name))

    create_volume(engine, VolumeCreate("data"))
    monkeypatch.setattr(table, "delete", look_first)
    remove_volume(engine, "data")
    looks.join()
    assert found == []
    record = use(engine, ensure_volume(engine, "").name)
    looks = threading.Thread(target=lambda: found.extend(check_volumes.check_volumes(engine)))
    with engine.database.transaction():
        remove_anonymous(engine, record)
        looks.start()
        looks.join(0.3)
    looks.join()
    assert found == []
    create_volume(engine, VolumeCreate("lost"))
    engine.volumes.remove("lost")
    ((finding, mend),) = check_volumes.check_volumes(engine)
    assert (finding.object, finding.problem) == ("lost", "its data is gone")
    mend()
    assert table.get("lost") is None
