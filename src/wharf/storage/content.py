"""The content store: blobs named by their digest, in a directory that is a valid OCI image layout.

    <root>/oci-layout                  {"imageLayoutVersion": "1.0.0"}
    <root>/index.json                  a projection of the image names (the truth is the database)
    <root>/blobs/sha256/<64 hex>       blobs, read-only, visible only when their digest is known to be right
    <root>/ingest/<random>             blobs being written; emptied at start
    <root>/ingest/.unsynced            there are visible blobs that no sync has covered yet

A blob is hashed while it is written, synced, then renamed to its name. A load of many layers syncs at its end instead
(`durable=False`, then `sync()`); the marker then says after a power loss which blobs must be hashed again.
"""

import contextlib
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Protocol

from wharf.errors import Internal, Invalid, NotFound
from wharf.kernel.syncing import start_writeback, sync_directory, sync_file
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_INDEX, Descriptor
from wharf.storage.limits import MAX_BLOB_SIZE, MIN_FREE

CHUNK = 1 << 20
_MARKER = ".unsynced"
_CLOCK_SLACK = 2.0
_SPACE_STEP = 64 << 20


class Readable(Protocol):
    """Anything with a blocking read; b"" is the end."""

    def read(self, size: int, /) -> bytes: ...


Source = Readable | Iterable[bytes]


@dataclass(frozen=True, slots=True)
class Blob:
    """What was stored; `size` in bytes."""

    digest: Digest
    size: int


class ContentStore:
    """Blobs beneath `root` (made if missing). `min_free` is the share of the disk that blobs leave free."""

    def __init__(self, root: str, min_free: float = MIN_FREE) -> None:
        self.root = root
        self.min_free = min_free
        self._blobs = os.path.join(root, "blobs", "sha256")
        self._ingest = os.path.join(root, "ingest")
        self._marker = os.path.join(self._ingest, _MARKER)
        self._lock = threading.Lock()
        self._pending: set[Digest] = set()
        os.makedirs(self._blobs, mode=0o700, exist_ok=True)
        os.makedirs(self._ingest, mode=0o700, exist_ok=True)
        self._recover()
        if not os.path.exists(os.path.join(root, "oci-layout")):
            self._write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        if not os.path.exists(os.path.join(root, "index.json")):
            self.write_index(())

    def path(self, digest: Digest) -> str:
        """Where the blob is or would be."""
        return os.path.join(self._blobs, digest.hex)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there, whole and verified."""
        return os.path.exists(self.path(digest))

    def size(self, digest: Digest) -> int:
        """Bytes; raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading, unbuffered; raises NotFound. Its digest was checked when it was stored."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None

    def read(self, digest: Digest, limit: int) -> bytes:
        """The whole blob, hashed again; raises NotFound, Invalid beyond `limit` bytes, Internal when it has rotted."""
        with self.open(digest) as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise Invalid(f"blob {digest} exceeds the limit of {limit} bytes")
            data = b"".join(iter(lambda: file.read(CHUNK), b""))
        if Digest.of(data) != digest:
            raise Internal(f"blob {digest} is damaged on disk: load or pull its image again")
        return data

    def writer(self) -> "BlobWriter":
        """A blob in the making: a context manager that leaves nothing unless `commit` was called."""
        return BlobWriter(self, os.path.join(self._ingest, secrets.token_hex(8)))

    def ingest(
        self, source: Source, expected: Digest | None = None, limit: int = MAX_BLOB_SIZE, durable: bool = True
    ) -> Blob:
        """Store what `source` gives. Raises Invalid when it is longer than `limit` or not what `expected` says.

        With `durable=False` the caller calls `sync` before it acknowledges anything.
        """
        with self.writer() as writer:
            for chunk in _chunks(source):
                writer.write(chunk)
                if writer.size > limit:
                    raise Invalid(f"blob {expected or 'of unknown digest'} exceeds the limit of {limit} bytes")
            return writer.commit(expected, durable)

    def put(self, data: bytes, durable: bool = True) -> Blob:
        """Store a small document; one that is here already is not written again."""
        digest = Digest.of(data)
        if self._holds(digest, data):
            return Blob(digest, len(data))
        return self.ingest((data,), durable=durable)

    def _holds(self, digest: Digest, data: bytes) -> bool:
        """Whether these very bytes are here, and on the disk."""
        with self._lock:
            if digest in self._pending:
                return False
        try:
            with self.open(digest) as file:
                return file.read(len(data) + 1) == data
        except (NotFound, OSError):  # what cannot be read is written anew
            return False

    def adopt(self, path: str, digest: Digest) -> None:
        """Make a file of the same file system visible: the caller has synced it and knows that its digest is right."""
        self._publish(path, digest, durable=True)

    def problem(self, digest: Digest) -> str:
        """What is wrong with a blob that should be there, or ""; reads it whole."""
        try:
            return "" if _matches(self.path(digest), digest) else "its content has changed on disk"
        except FileNotFoundError:
            return "it is missing"
        except OSError as error:
            return f"it cannot be read ({os.strerror(error.errno or 0)})"

    def delete(self, digest: Digest) -> None:
        """Remove the blob; a missing one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(digest))
        self._settle(frozenset((digest,)))

    def digests(self) -> Iterator[Digest]:
        """Every blob, in no order."""
        for name in os.listdir(self._blobs):
            if digest := Digest.of_name(name):
                yield digest

    def strange(self) -> list[str]:
        """Paths among the blobs whose names are no digests: not ours, so nobody reads or deletes them."""
        return [os.path.join(self._blobs, name) for name in os.listdir(self._blobs) if not Digest.of_name(name)]

    def sync(self) -> None:
        """Make everything stored so far survive a power loss; a no-op when nothing is pending.

        One fsync a blob: a syncfs would also wait for the thousands of files just unpacked beside them.
        """
        with self._lock:
            covered = frozenset(self._pending)
        for digest in covered:
            with contextlib.suppress(FileNotFoundError):  # deleted again
                sync_file(self.path(digest))
        if covered:
            sync_directory(self._blobs)
        self._settle(covered)

    def _settle(self, blobs: frozenset[Digest]) -> None:
        """These need no sync any more; when none does (somebody may have stored meanwhile) the marker goes."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            waited = bool(self._pending)
            self._pending -= blobs
            if waited and not self._pending:
                os.unlink(self._marker)

    def write_index(self, descriptors: Sequence[Descriptor]) -> None:
        """Replace index.json; the names are annotations of the descriptors."""
        manifests = [descriptor.to_json() for descriptor in descriptors]
        document = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": manifests}
        self._write("index.json", json.dumps(document, separators=(",", ":")).encode())

    def _write(self, name: str, data: bytes) -> None:
        staged = os.path.join(self._ingest, secrets.token_hex(8))
        try:
            with open(staged, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(staged, os.path.join(self.root, name))
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged)
            raise
        sync_directory(self.root)

    def _publish(self, staged: str, digest: Digest, durable: bool) -> None:
        """The visible name is the last write."""
        if durable:
            os.rename(staged, self.path(digest))
            sync_directory(self._blobs)
            return
        with self._lock:
            self._pending.add(digest)
            os.close(os.open(self._marker, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            os.rename(staged, self.path(digest))

    def _recover(self) -> None:
        """Throw half-written blobs away and hash again what was visible before a sync that never came."""
        for name in os.listdir(self._ingest):
            if name != _MARKER:
                os.unlink(os.path.join(self._ingest, name))
        if not os.path.exists(self._marker):
            return
        since = os.stat(self._marker).st_mtime - _CLOCK_SLACK
        for digest in self.digests():
            path = self.path(digest)
            if os.stat(path).st_mtime < since:
                continue
            if _matches(path, digest):
                self._pending.add(digest)
            else:
                os.unlink(path)
        self.sync()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._marker)


class BlobWriter:
    """One blob in the making; see `ContentStore.writer`. Not thread-safe."""

    def __init__(self, store: ContentStore, staged: str) -> None:
        self._store = store
        self._staged = staged
        self._hash = hashlib.sha256()
        self._next_check = 0
        self._fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Append; returns len(data). Raises Invalid rather than fill the last of the disk."""
        if self.size >= self._next_check:
            self._check_space()
        self._hash.update(data)
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        return len(data)

    def reader(self) -> BinaryIO:
        """What was written so far, for whoever may read it before its digest is known; unbuffered."""
        return open(self._staged, "rb", buffering=0)

    def _check_space(self) -> None:
        self._next_check = self.size + _SPACE_STEP
        space = os.fstatvfs(self._fd)
        if space.f_bavail < space.f_blocks * self._store.min_free:
            raise Invalid(f"a blob would leave less than {self._store.min_free:.0%} of the disk free (limit min-free)")

    def commit(self, expected: Digest | None = None, durable: bool = True) -> Blob:
        """Make the blob visible under its digest. Raises Invalid when that is not `expected`."""
        digest = Digest(self._hash.hexdigest())
        if expected is not None and digest != expected:
            raise Invalid(f"wrong digest: expected {expected}, the content is {digest}")
        if durable:
            os.fsync(self._fd)
        else:
            start_writeback(self._fd)
        self._store._publish(self._staged, digest, durable)
        self._staged = ""
        return Blob(digest, self.size)

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        if self._staged:
            os.unlink(self._staged)


def _chunks(source: Source) -> Iterable[bytes]:
    read = getattr(source, "read", None)
    if read is None:
        return source  # type: ignore[return-value]
    return iter(lambda: read(CHUNK), b"")


def _matches(path: str, digest: Digest) -> bool:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest.hex
