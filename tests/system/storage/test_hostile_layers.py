"""Layers made by somebody who wants out: each is refused by name, writes nothing outside, leaves nothing half made."""

import gzip
import os
import random
from pathlib import Path

import pytest

from tests.system.storage.conftest import Store, archive
from wharf.errors import Invalid
from wharf.storage.layers.header import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    END,
    EXTENDED,
    HARDLINK,
    LONG_NAME,
    REGULAR,
    SYMLINK,
    Entry,
    format_entry,
    padding,
)
from wharf.storage.limits import Limits

FILE = (Entry(b"file"), b"data")


def link(name: bytes, target: bytes) -> Entry:
    return Entry(name, SYMLINK, 0o777, link=target)


def hard(name: bytes, target: bytes) -> Entry:
    return Entry(name, HARDLINK, link=target)


def up(name: bytes) -> tuple[Entry, bytes]:
    return Entry(name), b"evil"


ESCAPES = {
    "dotdot": [up(b"../evil")],
    "dotdot deep": [up(b"a/b/../../../evil")],
    "dotdot inside": [up(b"a/../evil")],
    "dotdot last": [Entry(b"a/..", DIRECTORY, 0o777)],
    "dot dotdot": [up(b"./../evil")],
    "absolute": [up(b"/evil")],
    "absolute with dots": [up(b".//evil/../../x")],
    "symlink then file through it": [link(b"out", b"OUTSIDE"), up(b"out/evil")],
    "relative symlink then file": [link(b"out", b"../../../../.."), up(b"out/evil")],
    "chain of symlinks": [link(b"a", b"b"), link(b"b", b"OUTSIDE"), up(b"a/evil")],
    "symlink then directory in it": [link(b"out", b"OUTSIDE"), Entry(b"out/evil/", DIRECTORY, 0o777)],
    "symlink then symlink in it": [link(b"out", b"OUTSIDE"), link(b"out/evil", b"x")],
    "symlink then device in it": [link(b"out", b"OUTSIDE"), Entry(b"out/evil", CHAR, device=(1, 3))],
    "symlink then whiteout in it": [link(b"out", b"OUTSIDE"), Entry(b"out/.wh.sentinel")],
    "symlink then opaque": [link(b"out", b"OUTSIDE"), Entry(b"out/.wh..wh..opq")],
    "symlink to inside as parent": [Entry(b"in/", DIRECTORY, 0o755), link(b"l", b"in"), up(b"l/evil")],
    "hard link out by name": [hard(b"h", b"../../sentinel")],
    "hard link absolute": [hard(b"h", b"OUTSIDE/sentinel")],
    "hard link through symlink": [link(b"out", b"OUTSIDE"), hard(b"h", b"out/sentinel")],
    "hard link to nothing": [hard(b"h", b"missing")],
    "hard link to a directory": [Entry(b"d/", DIRECTORY, 0o755), hard(b"h", b"d")],
    "hard link to the root": [hard(b"h", b".")],
    "hard link empty": [hard(b"h", b"")],
    "whiteout of the root": [Entry(b".wh.")],
    "whiteout of dot": [Entry(b".wh..")],
    "whiteout of dotdot": [Entry(b"d/.wh...")],
    "whiteout as a directory": [up(b".wh.a/evil")],
    "root as a file": [up(b"./")],
    "root as a symlink": [link(b".", b"OUTSIDE")],
    "file as a parent": [FILE, up(b"file/evil")],
    "name too long": [up(b"n" * 256)],
    "path too long": [up(b"/".join([b"d" * 200] * 25))],
    "symlink without target": [link(b"l", b"")],
    "device out of range": [Entry(b"d", CHAR, device=(1 << 13, 0))],
    "unknown type": [Entry(b"x", b"Q")],
    "sparse": [Entry(b"x", b"S")],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_an_escape_is_refused(store: Store, name: str) -> None:
    outside = store.top / "target"
    outside.mkdir()
    (outside / "sentinel").write_text("safe")
    entries = []
    for item in ESCAPES[name]:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.link = entry.link.replace(b"OUTSIDE", bytes(outside))
        entries.append((entry, data))
    before = store.outside()
    with pytest.raises(Invalid, match=r"^layer sha256:feed: "):
        store.apply(archive(*entries))
    store.snapshots._trash.empty()
    assert store.outside() == before
    assert (outside / "sentinel").stat().st_nlink == 1
    assert store.snapshots.keys() == [] == store.snapshots.chain_ids()


def test_the_message_names_the_entry(store: Store) -> None:
    with pytest.raises(Invalid) as caught:
        store.apply(archive(FILE, up(b"a/../../evil\n\x1b[31m")))
    assert caught.value.message.startswith('layer sha256:feed: "a/../../evil\\n\\x1b[31m": ')


def test_a_whiteout_of_everything_below_is_refused(store: Store) -> None:
    base = store.apply(archive(FILE))
    with pytest.raises(Invalid, match="whiteout of the root"):
        store.apply(archive(Entry(b".wh..wh..opq")), base)


def test_a_symlink_of_a_layer_below_is_no_way_out(store: Store) -> None:
    """The upper directory does not see it: a directory of the same name hides it."""
    outside = store.top / "target"
    outside.mkdir()
    base = store.apply(archive(link(b"out", bytes(outside))))
    store.apply(archive(up(b"out/file")), base)
    assert os.listdir(outside) == []


def test_overlay_attributes_are_dropped(store: Store) -> None:
    """A redirect in the layer would let it name any directory of the layers below."""
    entry = Entry(b"d/", DIRECTORY, 0o755)
    entry.xattrs = {"trusted.overlay.redirect": b"/etc", "user.overlay.opaque": b"y", "user.kept": b"1"}
    name = store.apply(archive(entry))
    kept = os.listxattr(Path(store.snapshots.layers(name).upper) / "d")
    assert [attribute for attribute in kept if "overlay" in attribute] == []


@pytest.mark.parametrize("cut", [503, 511, 512, 700, 1024, 1500])
def test_a_cut_archive_is_refused(store: Store, cut: int) -> None:
    """Of the last 512 bytes ten are a file's; the padding after them may be missing, as in Go's reader."""
    data = archive((Entry(b"a"), b"x" * 700), (Entry(b"b" * 150), b"y" * 10))[: -len(END)]
    with pytest.raises(Invalid, match="unexpected EOF"):
        store.apply(data[:-cut] if cut != 512 else data[: 512 + 100])


def test_a_cut_compressed_layer_is_refused(store: Store) -> None:
    data = gzip.compress(archive((Entry(b"a"), random.Random(1).randbytes(100_000))))
    with pytest.raises(Invalid, match=r"^layer sha256:feed: "):
        store.apply(data[:-5000])


def test_flipped_bits_never_escape_or_crash(store: Store) -> None:
    """Each of 300 layers with one bit turned is refused or applied, and the surroundings stay as they were."""
    entries = [Entry(b"d/", DIRECTORY, 0o755), (Entry(b"d/f"), b"x" * 600), link(b"d/l", b"f"), hard(b"d/h", b"d/f")]
    good = archive(*entries)
    chance = random.Random(7)
    before = store.outside()
    refused = 0
    for _ in range(300):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        try:
            store.snapshots.remove(store.apply(bytes(bad)))
        except Invalid:
            refused += 1
    store.snapshots._trash.empty()
    assert refused > 150  # the rest hit the file's data or what follows the end
    assert store.outside() == before


def test_a_wrong_digest_is_refused(store: Store) -> None:
    import io

    from wharf.spec.digest import Digest
    from wharf.storage.layers.unpack import unpack

    store.snapshots.prepare("k", None)
    layer = store.snapshots.layers("k")
    with pytest.raises(Invalid, match="layer L: wrong digest: expected sha256:"):
        unpack(store.worker, io.BytesIO(archive(FILE)), layer, host=store.host, expected=Digest.of(b"other"), name="L")


def test_a_bomb_is_refused(store: Store) -> None:
    bomb = gzip.compress(archive((Entry(b"zeros"), bytes(40 << 20))))
    with pytest.raises(Invalid, match=r"layer sha256:feed: .*more than 128:1 \(limit max-ratio\)"):
        store.apply(bomb, limits=Limits(ratio_floor=1 << 20))
    store.apply(bomb)  # within the floor: an ordinary layer


def test_too_many_entries_are_refused(store: Store) -> None:
    data = archive(*(Entry(b"f%d" % number) for number in range(50)))
    with pytest.raises(Invalid, match=r"layer sha256:feed: more than 49 entries \(limit max-entries\)"):
        store.apply(data, limits=Limits(max_entries=49))
    store.apply(data, limits=Limits(max_entries=50))


def test_extended_headers_count_as_entries(store: Store) -> None:
    data = format_entry(Entry(b"n" * 300, size=0))[:1024] * 100 + END
    with pytest.raises(Invalid, match="max-entries"):
        store.apply(data, limits=Limits(max_entries=60))


def test_a_file_larger_than_the_disk_is_refused_before_it_is_written(store: Store) -> None:
    huge = format_entry(Entry(b"huge", size=1 << 50)) + bytes(4 << 20)
    with pytest.raises(Invalid, match=r"less than 5% of the disk free \(limit min-free\)"):
        store.apply(huge)


def test_the_last_of_the_disk_is_left(store: Store) -> None:
    with pytest.raises(Invalid, match="limit min-free"):
        store.apply(archive(FILE), limits=Limits(min_free=1.0))


@pytest.mark.parametrize("kind", [EXTENDED, LONG_NAME])
def test_an_endless_extended_header_is_refused(store: Store, kind: bytes) -> None:
    size = 2 << 20
    with pytest.raises(Invalid, match="exceeds the limit"):
        store.apply(format_entry(Entry(b"x", kind, size=size)) + bytes(size) + padding(size) + END)


def test_replacing_a_directory_that_is_in_use(store: Store) -> None:
    """The open directory is gone: what the layer puts "into" it afterwards must not end anywhere."""
    outside = store.top / "target"
    outside.mkdir()
    entries = [up(b"d/a"), link(b"d", bytes(outside)), up(b"d/b")]
    with pytest.raises(Invalid, match="symbolic link"):
        store.apply(archive(*entries))
    assert os.listdir(outside) == []


def test_devices_do_not_open(store: Store) -> None:
    """A device in the way of an entry is replaced, never written to."""
    name = store.apply(archive(Entry(b"n", BLOCK_DEVICE, 0o666, device=(7, 250)), (Entry(b"n", REGULAR), b"text")))
    assert (Path(store.snapshots.layers(name).upper) / "n").read_bytes() == b"text"
