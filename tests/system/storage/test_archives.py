"""The jobs behind docker cp, export and copy-up, on the mounts of a stopped container with a volume."""

import io
import os
import signal
import stat
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.system.storage.conftest import Store, archive
from tests.system.storage.test_layers import OLD, directory, file
from wharf.errors import Invalid, NotFound, WharfError
from wharf.kernel import mounts, namespaces
from wharf.spec.mount import Mount
from wharf.storage.layers.header import SYMLINK, Entry
from wharf.storage.metadata.codec import encode_value

PASSWD = b"root:x:0:0::/root:/bin/sh\nmail:x:8:12::/:/bin/sh\n"


class Container:
    """A stopped container: its mounts, and a job on them."""

    def __init__(self, store: Store) -> None:
        image = archive(
            directory(b"etc"), file(b"etc/passwd", PASSWD), directory(b"data"), file(b"data/in-image", uid=8, gid=12),
            directory(b"tmp", 0o1777), Entry(b"lib", SYMLINK, 0o777, mtime=OLD, link=b"usr/lib"),
            Entry(b"out", SYMLINK, 0o777, link=b"/../../../../etc"), directory(b"usr"), directory(b"usr/lib"),
            Entry(b"loop", SYMLINK, 0o777, link=b"loop"),
        )  # fmt: skip
        self.store = store
        self.volume = store.top / "volume"
        self.volume.mkdir()
        (self.volume / "kept").write_text("text")
        (self.volume / "host").symlink_to(store.top)
        self.chain = store.apply(image)
        root = store.snapshots.prepare("c", self.chain, init=True)
        volumes = [
            Mount("bind", str(self.volume), "/mnt/v", ("rw", "rbind")),
            Mount("bind", str(self.volume), "/mnt/ro", ("ro", "rbind")),
        ]
        self.mounts = [encode_value(mount) for mount in [*root, *volumes]]

    def run(self, job: str, path: str, fds: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
        return self.store.worker.run(job, {"mounts": self.mounts, "path": path, "container": "web", **more}, fds)

    def get(self, path: str, job: str = "archive.get") -> list[tarfile.TarInfo]:
        with tempfile.TemporaryFile() as out:
            size = self.run(job, path, (out.fileno(),))["size"]
            assert size == os.fstat(out.fileno()).st_size
            out.seek(0)
            with tarfile.open(fileobj=out) as tar:
                return tar.getmembers()

    def put(self, path: str, data: bytes, **more: Any) -> None:
        with tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            self.run("archive.put", path, (source.fileno(),), **more)

    @property
    def upper(self) -> Path:
        return Path(self.store.snapshots.layers("c").upper)


@pytest.fixture
def container(store: Store) -> Container:
    return Container(store)


@pytest.mark.parametrize(
    ("path", "name", "kind", "link"),
    [
        ("/etc/passwd", "passwd", 0, ""),
        ("etc", "etc", 1 << 31, ""),
        ("/etc/", "etc", 1 << 31, ""),
        ("/etc/.", ".", 1 << 31, ""),
        ("/", "/", 1 << 31, ""),
        ("/lib", "lib", 1 << 27, "/usr/lib"),
        ("/lib/", "lib", 1 << 31, ""),
        ("/out/passwd", "passwd", 0, ""),
        ("/tmp/../etc/passwd", "passwd", 0, ""),
        ("/mnt/v/kept", "kept", 0, ""),
        ("/tmp", "tmp", 1 << 31 | 1 << 20, ""),
    ],
)
def test_stat(container: Container, path: str, name: str, kind: int, link: str) -> None:
    found = container.run("archive.stat", path)
    assert (found["name"], found["mode"] & ~0o777, found["linkTarget"]) == (name, kind, link)


def test_stat_tells_size_and_time(container: Container) -> None:
    found = container.run("archive.stat", "/etc/passwd")
    assert (found["size"], found["mtime"], found["mode"]) == (len(PASSWD), "2017-07-14T02:40:00Z", 0o644)


def test_what_is_not_there(container: Container) -> None:
    for job in ("archive.stat", "archive.get", "archive.put"):
        with pytest.raises(NotFound, match=r"^Could not find the file /none/x in container web$"):
            container.run(job, "/none/x", (0,))
    for path in ("/etc/passwd/", "/loop/x"):
        with pytest.raises(WharfError):
            container.run("archive.stat", path)


def test_get_names_by_dockers_rules(container: Container) -> None:
    names = {path: [info.name for info in container.get(path)] for path in ("/etc", "/etc/.", "/etc/passwd", "/lib")}
    assert names["/etc"][0] == "etc" and "etc/passwd" in names["/etc"]
    assert names["/etc/."][0] == "." and "./passwd" in names["/etc/."]
    assert (names["/etc/passwd"], names["/lib"]) == (["passwd"], ["lib"])
    (info,) = container.get("/data/in-image")
    assert (info.uid, info.gid, info.mtime) == (8, 12, OLD // 10**9)


def test_links_in_volumes_lead_into_the_container_not_the_host(container: Container) -> None:
    (container.volume / "abs").symlink_to("/etc/passwd")
    found = container.run("archive.stat", "/mnt/v/abs")
    assert found["linkTarget"] == "/etc/passwd"
    with pytest.raises(NotFound):
        container.get("/mnt/v/host/volume/.")


def test_export_has_the_whole_root(container: Container) -> None:
    names = [info.name for info in container.get("/", "archive.export")]
    assert {"etc/passwd", "lib", ".dockerenv", "mnt/v/kept"} <= set(names)
    assert not any(name.startswith(("/", "./")) for name in names)


def test_put_follows_links_inside(container: Container) -> None:
    container.put("/lib", archive(file(b"one")))
    container.put("/", archive(file(b"lib/two"), file(b"out/three"), file(b"/tmp/a/b")))
    for name in ("usr/lib/one", "usr/lib/two", "etc/three", "tmp/a/b"):
        assert (container.upper / name).read_bytes() == b"x"
    assert not (container.store.top / "etc").exists()


def test_put_into_a_volume(container: Container) -> None:
    container.put("/mnt/v", archive(file(b"new", uid=5), file(b".wh.name")))
    assert (container.volume / "new").stat().st_uid == 5
    assert (container.volume / ".wh.name").exists()


@pytest.mark.parametrize(
    ("path", "data", "more", "words"),
    [
        ("/etc/passwd", archive(), {}, "extraction point is not a directory"),
        ("/mnt/ro", archive(file(b"x")), {}, "read-only"),
        ("/tmp", archive(file(b"../x")), {}, "outside of the root"),
        ("/", archive(file(b"tmp")), {"no_overwrite_dir_non_dir": True}, "cannot overwrite directory"),
        ("/etc", archive(directory(b"passwd")), {"no_overwrite_dir_non_dir": True}, "cannot overwrite non-directory"),
        ("/tmp", b"garbage" * 100, {}, "header"),
        ("/mnt/v", archive(), {"read_only": [["/", ""], ["/mnt/v", "volume words"]]}, "volume words"),
        ("/lib", archive(), {"read_only": [["/", ""], ["/usr", "resolved words"]]}, "resolved words"),
        ("/tmp", archive(), {"copy_uid_gid": True, "user": "nobody"}, "unable to find user nobody"),
    ],
)
def test_put_refuses(container: Container, path: str, data: bytes, more: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        container.put(path, data, **more)


def test_put_for_the_containers_user(container: Container) -> None:
    container.put("/tmp", archive(file(b"mine")), copy_uid_gid=True, user="mail")
    found = (container.upper / "tmp/mine").stat()
    assert (found.st_uid, found.st_gid) == (8, 12)


def test_copy_up_fills_an_empty_volume_once(container: Container) -> None:
    view = [encode_value(mount) for mount in container.store.snapshots.view("v", container.chain)]
    target = container.store.top / "fresh"
    target.mkdir(mode=0o700)
    run = {"mounts": view, "path": "/data", "target": str(target)}
    worker = container.store.worker
    assert worker.run("archive.copyup", run) == {"copied": True}
    assert ((target / "in-image").stat().st_uid, stat.S_IMODE(target.stat().st_mode)) == (8, 0o755)
    assert worker.run("archive.copyup", run) == {"copied": False}
    empty = container.store.top / "empty"
    empty.mkdir()
    assert worker.run("archive.copyup", {**run, "path": "/etc/passwd", "target": str(empty)}) == {"copied": False}
    assert os.listdir(empty) == []


def test_mounts_end_with_the_job(container: Container) -> None:
    container.run("archive.stat", "/")
    assert str(container.store.top) not in Path("/proc/self/mountinfo").read_text()


def test_a_reader_that_goes_away_is_no_error(container: Container) -> None:
    (container.volume / "large").write_bytes(bytes(8 << 20))
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        assert container.run("archive.get", "/mnt/v/large", (write_end,))["size"] < 8 << 20
    finally:
        os.close(write_end)


def _live_in(container: Container, ready: int, stop: int) -> None:
    """A child that lives in the container's root as a started one does, with a /tmp of its own in memory."""
    overlay = container.mounts[0]["overlay"]
    target = str(container.store.top / "root")
    namespaces.unshare(namespaces.CLONE_NEWNS)
    mounts.mount("none", "/", None, mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.overlay(overlay["lower"], overlay["upper"], overlay["work"], target, overlay.get("options", ()))
    mounts.mount("tmpfs", target + "/tmp", "tmpfs")
    os.chdir(target)
    mounts.pivot_root(".", ".")
    mounts.umount(".", mounts.MNT_DETACH)
    Path("/tmp/hidden").touch()
    os.write(ready, b".")
    os.read(stop, 1)


def test_a_copy_leaves_a_start_that_came_before_it_alone(container: Container) -> None:
    running = container.store.mount("c")
    with container.store.snapshots.own_work("c") as work:
        container.mounts[:1] = [encode_value(mount) for mount in container.store.snapshots.mounts("c", work)]
        container.run("archive.stat", "/etc/passwd")
    assert not Path(work).exists()
    (running / "etc/passwd").unlink()  # a whiteout is made in the work directory
    assert not (running / "etc/passwd").exists()


def test_a_running_container_is_seen_with_its_volumes_and_without_its_other_mounts(container: Container) -> None:
    (container.store.top / "root").mkdir()
    ready, told = os.pipe()
    stop, stopper = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(stopper)
            _live_in(container, told, stop)
        finally:
            os._exit(0)
    os.close(told)
    assert os.read(ready, 1) == b"."
    namespace = os.open(f"/proc/{child}/ns/mnt", os.O_RDONLY)
    before = Path("/proc/self/mountinfo").read_text()
    try:
        assert container.run("archive.stat", "/mnt/v/kept", (namespace,), running=True)["size"] == 4
        assert container.run("archive.stat", "/data/in-image", (namespace,), running=True)["name"] == "in-image"
        with pytest.raises(NotFound):
            container.run("archive.stat", "/tmp/hidden", (namespace,), running=True)
        with tempfile.TemporaryFile() as source:
            source.write(archive(file(b"new")))
            source.seek(0)
            container.run("archive.put", "/data", (namespace, source.fileno()), running=True)
        assert Path(f"/proc/{child}/root/data/new").exists()
    finally:
        os.close(stopper)
        os.waitpid(child, 0)
        for fd in (ready, stop, namespace):
            os.close(fd)
    assert Path("/proc/self/mountinfo").read_text() == before


def test_the_archive_may_be_empty(container: Container) -> None:
    container.put("/tmp", io.BytesIO().getvalue())


def test_a_copy_that_is_cut_leaves_the_old_file_and_nothing_beside_it(container: Container) -> None:
    """A file takes its name when it is whole."""
    container.put("/data", archive(file(b"target", b"old contents")))
    before = sorted(os.listdir(container.upper / "data"))
    whole = archive(file(b"target", b"n" * 500_000))
    for cut in (600, 5000, 300_000):
        with pytest.raises(WharfError):
            container.put("/data", whole[:cut])
        assert (container.upper / "data/target").read_bytes() == b"old contents"
        assert sorted(os.listdir(container.upper / "data")) == before
    container.put("/data", whole)
    assert (container.upper / "data/target").read_bytes() == b"n" * 500_000
    assert sorted(os.listdir(container.upper / "data")) == before


def test_nobody_sees_half_of_a_copied_file(container: Container) -> None:
    """Killed in the middle, as wharfd's end kills a worker: the name still has the old contents."""
    container.put("/data", archive(file(b"target", b"old contents")))
    before = sorted(os.listdir(container.upper / "data"))
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write_end)
        try:
            container.store.worker.run(
                "archive.put", {"mounts": container.mounts, "path": "/data", "container": "web"}, (read_end,)
            )
        finally:
            os._exit(1)
    os.close(read_end)
    os.write(write_end, archive(file(b"target", b"n" * 500_000))[:100_000])
    os.set_blocking(write_end, False)
    assert (container.upper / "data/target").read_bytes() == b"old contents"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(write_end)
    assert (container.upper / "data/target").read_bytes() == b"old contents"
    assert sorted(os.listdir(container.upper / "data")) == before, "the half has no name"
