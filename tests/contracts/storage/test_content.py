"""The content store: nothing visible that is not what its name says, nothing left of what failed, a valid layout."""

import io
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wharf.errors import Internal, Invalid, NotFound
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_MANIFEST, Descriptor
from wharf.storage.content import ContentStore


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(str(tmp_path / "content"))


def staged(store: ContentStore) -> list[str]:
    return os.listdir(os.path.join(store.root, "ingest"))


@pytest.mark.parametrize("durable", [True, False])
def test_a_blob_is_stored_under_its_digest(store: ContentStore, durable: bool) -> None:
    blob = store.ingest(io.BytesIO(b"hello"), Digest.of(b"hello"), durable=durable)
    store.sync()
    assert (blob.digest, blob.size) == (Digest.of(b"hello"), 5)
    assert store.has(blob.digest)
    assert store.size(blob.digest) == 5
    assert store.read(blob.digest, 5) == b"hello"
    assert list(store.digests()) == [blob.digest]
    assert staged(store) == []
    assert os.stat(store.path(blob.digest)).st_mode & 0o222 == 0


def test_chunks_from_an_iterable(store: ContentStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"he"
        yield b"llo"

    assert store.ingest(chunks()).digest == Digest.of(b"hello")


def test_a_wrong_digest_leaves_nothing(store: ContentStore) -> None:
    with pytest.raises(Invalid, match="wrong digest: expected sha256:"):
        store.ingest((b"hello",), Digest.of(b"other"))
    assert list(store.digests()) == [] == staged(store)


def test_a_blob_beyond_its_limit_leaves_nothing(store: ContentStore) -> None:
    with pytest.raises(Invalid, match="limit of 4 bytes"):
        store.ingest((b"he", b"llo"), limit=4)
    assert list(store.digests()) == [] == staged(store)


def test_a_source_that_breaks_leaves_nothing(store: ContentStore) -> None:
    def broken() -> Iterator[bytes]:
        yield b"he"
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        store.ingest(broken())
    assert list(store.digests()) == [] == staged(store)


def test_a_writer_without_commit_leaves_nothing(store: ContentStore) -> None:
    with store.writer() as writer:
        writer.write(b"hello")
        assert writer.size == 5
    assert staged(store) == []


def test_the_same_blob_twice(store: ContentStore) -> None:
    first = store.put(b"hello")
    with store.open(first.digest) as file:
        assert store.put(b"hello") == first
        assert file.read() == b"hello"


def test_missing_damaged_and_large_blobs(store: ContentStore) -> None:
    blob = store.put(b"hello")
    with pytest.raises(Invalid):
        store.read(blob.digest, 4)
    os.chmod(store.path(blob.digest), 0o600)
    Path(store.path(blob.digest)).write_bytes(b"HELLO")
    with pytest.raises(Internal, match="damaged"):
        store.read(blob.digest, 5)
    store.delete(blob.digest)
    store.delete(blob.digest)
    for look in (store.open, store.size):
        with pytest.raises(NotFound):
            look(blob.digest)


def test_the_root_is_an_image_layout(store: ContentStore) -> None:
    root = Path(store.root)
    assert json.loads((root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((root / "index.json").read_text())["manifests"] == []
    blob = store.put(b"{}")
    store.write_index([Descriptor(MEDIA_MANIFEST, blob.digest, 2, {"org.opencontainers.image.ref.name": "x"})])
    index = json.loads((root / "index.json").read_text())
    assert index["schemaVersion"] == 2
    assert index["manifests"][0]["digest"] == str(blob.digest)


def test_a_start_throws_half_written_blobs_away(store: ContentStore) -> None:
    (Path(store.root) / "ingest" / "half").write_bytes(b"he")
    assert staged(ContentStore(store.root)) == []


def test_blobs_no_sync_covered_are_hashed_again(store: ContentStore) -> None:
    """What a power loss does to data that was renamed and not synced: the name is there, the bytes are not."""
    old, good, bad = (store.put(text).digest for text in (b"old", b"good", b"bad"))
    long_ago = time.time() - 3600
    os.utime(store.path(old), (long_ago, long_ago))
    store.put(b"more", durable=False)
    os.chmod(store.path(bad), 0o600)
    Path(store.path(bad)).write_bytes(b"")
    again = ContentStore(store.root)
    assert set(again.digests()) == {old, good, Digest.of(b"more")}
    assert staged(again) == []


def test_a_sync_forgets_the_marker(store: ContentStore) -> None:
    store.put(b"hello", durable=False)
    assert staged(store) == [".unsynced"]
    store.sync()
    assert staged(store) == []


def test_what_was_deleted_needs_no_sync(store: ContentStore) -> None:
    one, two = (store.put(text, durable=False).digest for text in (b"one", b"two"))
    store.delete(one)
    assert staged(store) == [".unsynced"]
    store.delete(two)
    assert staged(store) == []


def test_the_last_of_the_disk_is_left(store: ContentStore) -> None:
    store.min_free = 1.0
    with pytest.raises(Invalid, match="limit min-free"):
        store.put(b"hello")
    assert list(store.digests()) == [] == staged(store)
