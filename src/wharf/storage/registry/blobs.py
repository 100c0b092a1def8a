"""Blobs of a registry in a local directory: a content store, and uploads beside it.

<root>/content/            see `storage/content.py`: blobs appear under their digest by a rename
<root>/uploads/<id>        bytes of an upload, kept over a restart so that it can go on
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from typing import BinaryIO

from wharf.errors import Invalid, NotFound, Unavailable
from wharf.kernel.syncing import start_writeback
from wharf.spec.digest import Digest
from wharf.storage.content import ContentStore
from wharf.storage.limits import MIN_FREE

_SPACE_STEP = 64 << 20
_WRITEBACK_STEP = 8 << 20
_FOLLOW = 4 << 20
"""Bytes that may wait to be hashed before a thread is started for them."""
_HASH_PIECE = 256 << 10
_ID = re.compile(r"[0-9a-f-]{8,64}\Z")


class UploadFile:
    """One upload. The hash is computed from the file: behind what is appended by a thread that ends when it has caught
    up, so that receiving and writing do not wait for it; the rest when the digest is asked for, also after a restart.
    """

    def __init__(self, path: str, create: bool, min_free: float) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if create else 0)
        try:
            self._fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise NotFound("upload not found") from None
        self._min_free = min_free
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._behind: threading.Thread | None = None
        self._closing = False
        self._next_check = 0
        self._next_writeback = _WRITEBACK_STEP
        self.size = os.fstat(self._fd).st_size

    def append(self, piece: memoryview) -> None:
        """Write and hash; raises Unavailable when the disk is (nearly) full."""
        if self.size >= self._next_check:
            self._check_space()
        view = piece
        at = self.size
        try:
            while view:
                written = os.pwrite(self._fd, view, at)
                view, at = view[written:], at + written
        except OSError as error:
            raise Unavailable(f"cannot store the upload: {error.strerror}") from None
        following = self._behind is not None and self._behind.is_alive()
        if not following and self._hashed == self.size and at < _FOLLOW:
            self._hash.update(piece)  # small: in the cache still, and not worth a thread
            self._hashed = at
        self.size = at
        if not following and at - self._hashed >= _FOLLOW:
            self._follow()
        if at >= self._next_writeback:
            # The disk works while the network does, so that the sync at the end has little left.
            start_writeback(self._fd)
            self._next_writeback = at + _WRITEBACK_STEP

    def digest(self) -> Digest:
        """Of everything so far."""
        self._caught_up()
        self._hash_all()
        return Digest(self._hash.hexdigest())

    def _follow(self) -> None:
        """Hash what is there, and what comes meanwhile, in a thread. Its failure is found by `digest`."""
        self._caught_up()

        def run() -> None:
            with contextlib.suppress(OSError, Unavailable):
                self._hash_all()

        thread = threading.Thread(target=run, name="upload-hash", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be had: `digest` does it all
            thread.start()
            self._behind = thread

    def _caught_up(self) -> None:
        if self._behind is not None:
            self._behind.join()
            self._behind = None

    def _hash_all(self) -> None:
        """Up to the end, which may move meanwhile."""
        buffer = memoryview(bytearray(min(_HASH_PIECE, max(self.size - self._hashed, 1))))
        while (left := self.size - self._hashed) > 0 and not self._closing:
            size = os.preadv(self._fd, [buffer[: min(left, len(buffer))]], self._hashed)
            if not size:
                raise Unavailable("the upload's file has become shorter")
            self._hash.update(buffer[:size])
            self._hashed += size

    def sync(self) -> None:
        """Make the bytes durable."""
        os.fsync(self._fd)
        os.fchmod(self._fd, 0o444)

    def close(self) -> None:
        """The file stays."""
        self._closing = True
        self._caught_up()
        os.close(self._fd)

    def _check_space(self) -> None:
        self._next_check = self.size + _SPACE_STEP
        space = os.fstatvfs(self._fd)
        if space.f_bavail < space.f_blocks * self._min_free:
            raise Unavailable(f"the upload would leave less than {self._min_free:.0%} of the disk free")


class RegistryBlobs:
    """Blobs and uploads beneath `root`."""

    def __init__(self, root: str, min_free: float = MIN_FREE) -> None:
        self._uploads = os.path.join(root, "uploads")
        self._min_free = min_free
        os.makedirs(self._uploads, mode=0o700, exist_ok=True)
        self.content = ContentStore(os.path.join(root, "content"), min_free)

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading, unbuffered; raises NotFound."""
        return self.content.open(digest)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there, whole and verified."""
        return self.content.has(digest)

    def put(self, data: bytes) -> Digest:
        """Store a small document; raises Unavailable when the disk is nearly full."""
        try:
            return self.content.put(data).digest
        except Invalid as error:  # the disk is nearly full
            raise Unavailable(error.message) from None

    def upload(self, name: str, create: bool) -> UploadFile:
        """Start an upload, or go on with one; raises NotFound."""
        return UploadFile(self._path(name), create, self._min_free)

    def publish(self, name: str, digest: Digest) -> None:
        """An upload that was synced and whose digest was checked becomes a blob: the visible name is the last write."""
        self.content.adopt(self._path(name), digest)

    def discard(self, name: str) -> None:
        """Remove an upload's bytes; a missing one is fine."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def delete(self, digest: Digest) -> None:
        """Remove a blob; a missing one is fine."""
        self.content.delete(digest)

    def digests(self) -> Iterator[Digest]:
        """Every blob, in no order."""
        return self.content.digests()

    def upload_names(self) -> list[str]:
        """Every upload that has bytes."""
        return os.listdir(self._uploads)

    def _path(self, name: str) -> str:
        if not _ID.match(name):
            raise NotFound("upload not found")
        return os.path.join(self._uploads, name)
