"""Blobs of a registry in a local directory: a content store, and uploads beside it.

<root>/content/            see `storage/content.py`: blobs appear under their digest by a rename
<root>/uploads/<id>        bytes of an upload, kept over a restart so that it can go on
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from wharf.errors import Invalid, NotFound, Unavailable
from wharf.kernel.syncing import start_writeback
from wharf.spec.digest import Digest
from wharf.storage.content import CHUNK, ContentStore
from wharf.storage.limits import MIN_FREE

_SPACE_STEP = 64 << 20
_WRITEBACK_STEP = 8 << 20
_ID = re.compile(r"[0-9a-f-]{8,64}\Z")


class UploadFile:
    """One upload. The hash follows what is appended; after a restart it is computed from the file when needed."""

    def __init__(self, path: str, create: bool, min_free: float) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT | os.O_EXCL if create else 0)
        try:
            self._fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            raise NotFound("upload not found") from None
        self._min_free = min_free
        self._hash = hashlib.sha256()
        self._hashed = 0
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
        if self._hashed == self.size:
            self._hash.update(piece)
            self._hashed = at
        self.size = at
        if at >= self._next_writeback:
            # The disk works while the network does, so that the sync at the end has little left.
            start_writeback(self._fd)
            self._next_writeback = at + _WRITEBACK_STEP

    def digest(self) -> Digest:
        """Of everything so far."""
        while self._hashed < self.size:
            data = os.pread(self._fd, CHUNK, self._hashed)
            if not data:
                raise Unavailable("the upload's file has become shorter")
            self._hash.update(data)
            self._hashed += len(data)
        return Digest(self._hash.hexdigest())

    def sync(self) -> None:
        """Make the bytes durable."""
        os.fsync(self._fd)
        os.fchmod(self._fd, 0o444)

    def close(self) -> None:
        """The file stays."""
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
