"""A container's files: commit, changes, export, copy in and out, copy-up, on real overlay mounts."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.images.test_load import load
from tests.support.images import Sink
from wharf.engine.changes import container_changes
from wharf.engine.commit import CommitRequest, commit_container
from wharf.engine.copy import get_archive, put_archive, stat_path
from wharf.engine.export import export_container, root_view
from wharf.engine.image_inspect import history
from wharf.engine.volumes import ensure_volume, populate, restore_volumes
from wharf.errors import Conflict, Internal, Invalid, NotFound
from wharf.spec.container import ContainerConfig, MountPoint, MountRequest


def base_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (("etc", 0o755), ("data", 0o750), ("data/sub", 0o755), ("tmp", 0o1777)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid = tarfile.DIRTYPE, mode, 33 if name == "data" else 0
            tar.addfile(info)
        for name, text in (("etc/hostname", b"box\n"), ("data/sub/file", b"old"), ("data/other", b"x")):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(text), 1_700_000_000
            tar.addfile(info, io.BytesIO(text))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/data/sub"
        tar.addfile(link)
    return out.getvalue()


@pytest.fixture
def container(engine: Any) -> Any:
    from tests.support.busybox import docker_archive

    load(engine, docker_archive("base:1", [base_layer()], {"Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"]}))
    image = engine.images.resolve("base:1")
    config = ContainerConfig(cmd=["sh", "-c", "make it"], env=["PATH=/bin", "A=1", "B=2"], labels={"l": "1"})
    record = engine.containers.add(str(image.id), config=config)
    engine.snapshots.prepare(record.id, image.chain_id, init=True)
    return record


def change(engine: Any, container: Any) -> None:
    upper = Path(engine.snapshots.layers(container.id).upper)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("new")
        info.size, info.uid, info.mode = 3, 1000, 0o640
        archive.addfile(info, io.BytesIO(b"new"))
    put_archive(engine, container.name, "/data", io.BytesIO(tar.getvalue()))
    os.mknod(upper / "etc-gone", 0o600 | 0o020000, os.makedev(0, 0))
    (upper / "etc-gone").rename(upper / "data" / "other")


def tar_of(write: Any) -> dict[str, tarfile.TarInfo]:
    out = Sink()
    write(out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        return {item.name: item for item in tar}


def test_changes(engine: Any, container: Any) -> None:
    assert container_changes(engine, "c1") == []
    change(engine, container)
    found = [(item.kind, item.path) for item in container_changes(engine, "c1")]
    assert found == [(0, "/data"), (1, "/data/new"), (2, "/data/other")]


def test_commit_makes_an_image_with_one_more_layer(engine: Any, container: Any) -> None:
    change(engine, container)
    request = CommitRequest(
        "c1", repo="docker.io/library/made", tag="2", comment="why", author="me", changes=["ENV C=3", 'CMD ["run"]']
    )
    image = engine.images.get(commit_container(engine, request))
    base = engine.images.resolve("base:1")
    assert image.id == engine.images.resolve("made:2").id and image.parent == base.id
    assert image.chain[: len(base.chain)] == base.chain and len(image.chain) == len(base.chain) + 1
    assert image.image.config.env == ("PATH=/bin", "A=1", "B=2", "C=3")
    assert (image.image.config.cmd, image.image.config.labels) == (("run",), {"l": "1"})
    assert (image.image.author, image.image.comment) == ("me", "why")
    lines = history(engine, "made:2")
    assert [(line.id, line.created_by, line.comment) for line in lines] == [
        (str(image.id), "sh -c make it", "why"),
        (str(base.id), "layer 0", ""),
    ]
    engine.snapshots.prepare("check", image.chain_id)
    names = tar_of(lambda out: _export(engine, "check", out))
    assert names["data/new"].uid == 1000 and "data/other" not in names and names["data/sub/file"].size == 3
    attributes = next(event[3] for event in engine.events.seen if event[:2] == ("container", "commit"))
    assert (attributes["comment"], attributes["imageRef"]) == ("why", "made:2")


def _export(engine: Any, key: str, out: Any) -> None:
    engine.containers.add("sha256:" + "0" * 64, running=False)
    engine.containers.records[-1].id = key
    export_container(engine, key)(out)


def test_commit_of_nothing_adds_no_layer(engine: Any, container: Any) -> None:
    image = engine.images.get(commit_container(engine, CommitRequest("c1")))
    assert image.chain == engine.images.resolve("base:1").chain
    assert image.image.history[-1].empty_layer


def test_commit_freezes_a_running_container_unless_told_not_to(engine: Any, container: Any) -> None:
    container.state.running = True
    commit_container(engine, CommitRequest("c1"))
    commit_container(engine, CommitRequest("c1", pause=False))
    assert engine.containers.frozen == ["freeze c1", "thaw c1"]


def test_commit_refusals_leave_nothing(engine: Any, container: Any) -> None:
    before = (engine.blobs(), len(engine.images.all()))
    for request, error in (
        (CommitRequest("nobody"), NotFound),
        (CommitRequest("c1", changes=["RUN x"]), Invalid),
        (CommitRequest("c1", repo="UP"), Invalid),
    ):
        with pytest.raises(error):
            commit_container(engine, request)
    container.state.removal_in_progress = True
    with pytest.raises(Conflict, match="is being removed"):
        commit_container(engine, CommitRequest("c1"))
    assert (engine.blobs(), len(engine.images.all())) == before


@pytest.mark.parametrize(
    ("doing", "ask"),
    [
        ("commit", lambda engine: commit_container(engine, CommitRequest("c1"))),
        ("export", lambda engine: tar_of(export_container(engine, "c1"))),
        ("copy", lambda engine: tar_of(get_archive(engine, "c1", "/data")[1])),
        ("compare", lambda engine: container_changes(engine, "c1")),
    ],
)
def test_what_goes_while_it_is_read_is_not_given_in_part(
    engine: Any, container: Any, monkeypatch: pytest.MonkeyPatch, doing: str, ask: Any
) -> None:
    """A removal empties the directories under the reader, who finds less and no error."""
    change(engine, container)
    before = (engine.blobs(), len(engine.images.all()))
    run = engine.worker.run

    def goes_meanwhile(*job: Any) -> Any:
        container.state.removal_in_progress = job[0] != "archive.stat"
        return run(*job)

    monkeypatch.setattr(engine.worker, "run", goes_meanwhile)
    with pytest.raises(Conflict, match=f"^You cannot {doing} container {container.id} which is being removed$"):
        ask(engine)
    assert (engine.blobs(), len(engine.images.all())) == before


def test_export_has_the_whole_tree(engine: Any, container: Any) -> None:
    change(engine, container)
    names = tar_of(export_container(engine, "c1"))
    assert names["data"].uid == 33 and names["data"].mode == 0o750
    assert names["data/new"].mode == 0o640 and "data/other" not in names
    assert names["link"].linkname == "/data/sub"


def test_stat(engine: Any, container: Any) -> None:
    stat = stat_path(engine, "c1", "/data/sub/file")
    assert (stat.name, stat.size, stat.mode, stat.link_target) == ("file", 3, 0o644, "")
    assert stat.mtime == "2023-11-14T22:13:20Z"
    stat = stat_path(engine, "c1", "link")
    assert (stat.link_target, stat.mode >> 27 & 1) == ("/data/sub", 1)
    with pytest.raises(NotFound, match="Could not find the file /nope in container c1"):
        stat_path(engine, "c1", "/nope")
    with pytest.raises(NotFound, match="No such container: nobody"):
        stat_path(engine, "nobody", "/")
    with pytest.raises(Invalid):
        stat_path(engine, "c1", "a\0b")


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/data/sub", ["sub", "sub/file"]),
        ("/data/sub/", ["sub", "sub/file"]),
        ("/data/sub/.", [".", "./file"]),
        ("/data/sub/file", ["file"]),
        ("/link", ["link"]),
        ("/link/", ["link", "link/file"]),
        ("../../data/sub/file", ["file"]),
    ],
)
def test_get_names_entries_as_docker_does(engine: Any, container: Any, path: str, names: list[str]) -> None:
    write = get_archive(engine, "c1", path)[1]
    assert [name.rstrip("/") for name in tar_of(write)] == names


def test_put_refusals(engine: Any, container: Any, tmp_path: Path) -> None:
    empty = io.BytesIO(bytes(1024))
    with pytest.raises(NotFound, match="Could not find the file /nope in container c1"):
        put_archive(engine, "c1", "/nope", empty)
    with pytest.raises(Invalid, match="extraction point is not a directory"):
        put_archive(engine, "c1", "/etc/hostname", empty)
    container.mount_requests.append(MountRequest("bind"))
    container.mounts.append(MountPoint("bind", source=str(tmp_path), destination="/data/sub", rw=False))
    with pytest.raises(Invalid, match="mounted volume is marked read-only"):
        put_archive(engine, "c1", "/link", empty)
    container.host_config.readonly_rootfs = True
    with pytest.raises(Invalid, match="container rootfs is marked read-only"):
        put_archive(engine, "c1", "/etc", empty)
    with pytest.raises(Invalid):
        container.host_config.readonly_rootfs = False
        put_archive(engine, "c1", "/etc", io.BytesIO(b"no tar" * 1000))


def test_copy_goes_into_and_out_of_a_volume(engine: Any, container: Any) -> None:
    volume = ensure_volume(engine, "vol")
    container.mount_requests.append(MountRequest("volume"))
    container.mounts.append(MountPoint("volume", "vol", volume.mountpoint, "/data/sub"))
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        info = tarfile.TarInfo("in")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"in"))
    put_archive(engine, "c1", "/data/sub", io.BytesIO(tar.getvalue()))
    assert Path(volume.mountpoint, "in").read_bytes() == b"in"
    assert list(tar_of(get_archive(engine, "c1", "/data/sub/.")[1]))[-1] == "./in"
    assert list(tar_of(export_container(engine, "c1"))).count("data/sub/in") == 0


def test_copy_up_is_whole_or_not_at_all(engine: Any, container: Any) -> None:
    data = Path(ensure_volume(engine, "vol").mountpoint)
    mounts = [root_view(engine, container.id)]
    run, seen = engine.worker.run, []

    def cut(job: str, args: dict[str, Any], fds: tuple[int, ...] = ()) -> dict[str, Any]:
        run(job, args, fds)
        seen.append(sorted(os.listdir(data)))
        raise Internal("cut after the copy")

    engine.worker.run = cut
    with pytest.raises(Internal, match="cut"):
        populate(engine, mounts, "/data", "vol")
    engine.worker.run = run
    assert seen == [[]] and os.listdir(data) == []
    assert os.listdir(data.parent) == ["_data"]
    shutil.copytree(data, data.parent / "_filling")  # two crashes: within a copy, and between two of its last renames
    (data.parent / "_filled").mkdir(mode=0o750)
    os.chown(data.parent / "_filled", 33, 0)
    for path, text in ((data / "first", "in use"), (data.parent / "_filled/first", "old"),
                       (data.parent / "_filled/second", "new")):  # fmt: skip
        path.write_text(text)
    restore_volumes(engine)
    assert {path.name: path.read_text() for path in data.iterdir()} == {"first": "in use", "second": "new"}
    assert (data.stat().st_uid, data.stat().st_mode & 0o7777) == (33, 0o750)
    assert os.listdir(data.parent) == ["_data"]


def test_copy_up_reaches_what_somebody_has_mounted_in_the_volume(engine: Any, container: Any) -> None:
    data = ensure_volume(engine, "vol").mountpoint
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", data], check=True)
    try:
        populate(engine, [root_view(engine, container.id)], "/data", "vol")
        assert sorted(os.listdir(data)) == ["other", "sub"]
        assert os.listdir(os.path.dirname(data)) == ["_data"]
    finally:
        subprocess.run(["umount", data], check=True)


def test_copy_up_fills_an_empty_volume_once(engine: Any, container: Any) -> None:
    volume = ensure_volume(engine, "vol")
    mounts = [root_view(engine, container.id)]
    populate(engine, mounts, "/data", "vol")
    assert sorted(os.listdir(volume.mountpoint)) == ["other", "sub"]
    found = os.stat(volume.mountpoint)
    assert (found.st_uid, found.st_mode & 0o7777) == (33, 0o750)
    Path(volume.mountpoint, "other").write_bytes(b"changed")
    populate(engine, mounts, "/data", "vol")
    populate(engine, mounts, "/not/there", "vol")
    assert Path(volume.mountpoint, "other").read_bytes() == b"changed"
