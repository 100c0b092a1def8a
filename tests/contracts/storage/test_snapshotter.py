"""What every Snapshotter must do; run against each implementation through a factory."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wharf.errors import Conflict, Internal, Invalid, NotFound
from wharf.kernel.probe import probe
from wharf.spec.digest import Digest
from wharf.spec.host import Host
from wharf.storage.snapshots.overlay import OverlaySnapshotter
from wharf.storage.trash import Trash

A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))
Factory = Callable[[Host], OverlaySnapshotter]


@pytest.fixture(params=["overlay"])
def factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Factory]:
    """Opens the same store again and again, as restarts do."""
    opened: list[OverlaySnapshotter] = []

    def make(host: Host) -> OverlaySnapshotter:
        snapshots = OverlaySnapshotter(str(tmp_path / "snapshots"), host, Trash(str(tmp_path / "trash")))
        snapshots.start()
        opened.append(snapshots)
        return snapshots

    yield make
    for snapshots in opened:
        snapshots.close()


@pytest.fixture
def host() -> Host:
    return probe()


@pytest.fixture
def snapshots(factory: Factory, host: Host) -> OverlaySnapshotter:
    return factory(host)


def layer(snapshots: OverlaySnapshotter, chain_id: Digest, parent: Digest | None, **files: str) -> None:
    key = f"extract-{chain_id.hex[:8]}"
    snapshots.prepare(key, parent)
    for name, text in files.items():
        path = Path(snapshots.layers(key).upper) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    snapshots.commit(key, chain_id)


def test_layers_stack_in_order(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None, a="1")
    layer(snapshots, B, A, b="2")
    (mount,) = snapshots.prepare("c1", B)
    assert mount.type == "overlay"
    assert mount.target == ""
    assert mount.overlay is not None
    top, bottom = mount.overlay.lower
    assert (os.listdir(top), os.listdir(bottom)) == (["b"], ["a"])
    assert os.listdir(mount.overlay.upper) == [] == os.listdir(mount.overlay.work)
    assert snapshots.mounts("c1") == [mount]
    assert snapshots.layers("c1").lowers == mount.overlay.lower
    assert (snapshots.parent("c1"), snapshots.parent(B), snapshots.parent(A)) == (B, A, None)
    assert (set(snapshots.chain_ids()), snapshots.keys()) == ({A, B}, ["c1"])


def test_a_snapshot_on_nothing_is_bound(snapshots: OverlaySnapshotter) -> None:
    (mount,) = snapshots.prepare("c1", None)
    assert (mount.type, mount.source) == ("bind", snapshots.layers("c1").upper)


def test_a_view_is_read_only(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None, a="1")
    layer(snapshots, B, A)
    (single,) = snapshots.view("v1", A)
    (stacked,) = snapshots.view("v2", B)
    assert "ro" in single.options and "ro" in stacked.options
    assert stacked.overlay is not None and not stacked.overlay.upper
    with pytest.raises(Conflict):
        snapshots.commit("v2", C)


def test_a_committed_snapshot_is_dropped_when_it_exists(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None, a="first")
    layer(snapshots, A, None, a="second")
    assert (Path(snapshots.layers(A).upper) / "a").read_text() == "first"
    assert snapshots.keys() == []


def test_usage_counts_its_own_files_once(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None, a="12345")
    layer(snapshots, B, A, b="123")
    upper = Path(snapshots.layers(B).upper)
    (upper / "link").hardlink_to(upper / "b")
    assert (snapshots.usage(A), snapshots.usage(B)) == (5, 3)


def test_what_others_lie_on_stays(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None)
    layer(snapshots, B, A)
    snapshots.prepare("c1", B, init=True)
    for used in (A, B):
        with pytest.raises(Conflict, match="in use by"):
            snapshots.remove(used)
    snapshots.remove("c1")
    snapshots.remove(B)
    snapshots.remove(A)
    snapshots.remove(A)
    snapshots.remove("c1")
    assert snapshots.chain_ids() == [] == snapshots.keys()
    assert not snapshots.exists(A)


def test_names_and_parents_are_checked(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None)
    snapshots.prepare("c1", A)
    with pytest.raises(Conflict):
        snapshots.prepare("c1", A)
    with pytest.raises(NotFound):
        snapshots.prepare("c2", B)
    for look in (snapshots.mounts, snapshots.layers, snapshots.usage, snapshots.parent):
        with pytest.raises(NotFound):
            look("c2")
    for key in ("", "..", "a/b", "a" * 200, "a\n", "-a"):
        with pytest.raises(Invalid):
            snapshots.prepare(key, None)
    assert snapshots.keys() == ["c1"]


def test_mount_points_lie_below_the_container(snapshots: OverlaySnapshotter) -> None:
    """Made once for all containers of an image, and only what the image has not."""
    layer(snapshots, A, None, **{"etc/hosts": "mine"})
    for key in ("c1", "c2"):
        snapshots.prepare(key, A, init=True)
    first, second = snapshots.layers("c1"), snapshots.layers("c2")
    assert first.lowers == second.lowers
    init = Path(first.lowers[0])
    assert os.listdir(first.upper) == []
    assert (init / "dev/console").is_file() and (init / ".dockerenv").is_file() and (init / "proc").is_dir()
    assert os.readlink(init / "etc/mtab") == "/proc/mounts"
    assert not (init / "etc/hosts").exists()
    assert snapshots.chain_ids() == [A]


def test_what_no_layer_can_have_is_known_without_a_mount(snapshots: OverlaySnapshotter) -> None:
    layer(snapshots, A, None, **{"etc/hosts": "x"})
    layer(snapshots, B, A, b="2")
    snapshots.prepare("box", B, init=True)
    assert snapshots.may_have("box", "/etc/hosts") and snapshots.may_have("box", "/etc/more/below")
    assert not snapshots.may_have("box", "/data") and not snapshots.may_have("box", "/data/etc")
    os.mkdir(os.path.join(snapshots.layers("box").upper, "data"))
    assert snapshots.may_have("box", "/data")


def test_everything_is_there_after_a_restart(factory: Factory, host: Host) -> None:
    snapshots = factory(host)
    layer(snapshots, A, None, a="1")
    mounts = snapshots.prepare("c1", A, init=True)
    again = factory(host)
    assert again.exists(A)
    assert again.mounts("c1") == mounts


def test_an_unclean_boot_discards_what_was_not_synced(factory: Factory, host: Host, tmp_path: Path) -> None:
    snapshots = factory(host)
    layer(snapshots, A, None, a="1")
    snapshots.close()  # synced
    layer(snapshots, B, A, b="1")
    layer(snapshots, C, B, c="1")
    (Path(snapshots.layers(C).upper).parent / "unsynced").unlink()
    after = factory(replace(host, boot_id="another-boot"))
    assert after.exists(A)
    assert not after.exists(B)
    assert not after.exists(C), "what it lies on is gone"
    layer(after, B, A, b="again")
    layer(after, C, B, c="again")
    assert (Path(after.layers(C).upper) / "c").read_text() in ("1", "again")
    assert after.exists(C)


def test_the_same_boot_keeps_what_was_not_synced(factory: Factory, host: Host) -> None:
    """A kill -9 loses nothing: the page cache has it."""
    snapshots = factory(host)
    snapshots.close()
    layer(snapshots, A, None, a="1")
    assert factory(host).exists(A)


def test_what_a_container_stands_on_is_told_and_mended(factory: Factory, host: Host) -> None:
    snapshots = factory(host)
    layer(snapshots, A, None, a="1")
    snapshots.close()
    mounts = snapshots.prepare("c1", A, init=True)
    assert snapshots.missing_below("c1") == ""
    after = factory(replace(host, boot_id="another-boot"))
    assert after.discarded == 1
    assert after.missing_below("c1") == f"the mount points over {A}"
    after.mend_below("c1")
    assert after.missing_below("c1") == "" and after.mounts("c1") == mounts
    after.close()
    layer(after, B, A)
    after.prepare("c2", B)
    again = factory(replace(host, boot_id="a-third-boot"))
    assert (again.discarded, again.missing_below("c1")) == (1, "")
    assert again.missing_below("c2") == f"a layer of {B}"
    with pytest.raises(NotFound):
        again.missing_below("c3")


def test_half_made_snapshots_are_swept(factory: Factory, host: Host, tmp_path: Path) -> None:
    snapshots = factory(host)
    (tmp_path / "snapshots/staging/half/fs").mkdir(parents=True)
    (tmp_path / "snapshots/active/cut").mkdir()
    snapshots.start()
    assert snapshots.keys() == []
    assert os.listdir(tmp_path / "snapshots/staging") == []


def test_a_size_is_refused_where_nothing_can_limit_it(snapshots: OverlaySnapshotter) -> None:
    if snapshots.quotas.supported:
        pytest.skip("the temporary directory has project quotas: tests/vm/test_root_size.py uses them")
    with pytest.raises(Internal, match="supported only for overlay over xfs with 'pquota' mount option"):
        snapshots.prepare("c", None, size=1 << 20)
    assert snapshots.keys() == []
    snapshots.prepare("c", None)
    with snapshots.own_work("c") as work:
        assert os.listdir(work) == []
    snapshots.remove("c")
