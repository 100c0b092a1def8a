"""A blob on its way into the store: one thread writes and hashes it, another may read it meanwhile.

The blob becomes visible when its digest is right. Who reads it earlier gets an error instead of the end when it is
not, so nothing that was made of it is kept.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.storage.content import ContentStore

Fetch = Callable[[Descriptor, Callable[[memoryview], object]], None]
"""Gives the sink all bytes of a blob, in order; raises WharfError."""


class KeyedLocks:
    """A lock for each key that somebody holds or waits for: two pulls fetch and unpack one layer once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[Digest, tuple[threading.Lock, int]] = {}

    @contextlib.contextmanager
    def held(self, key: Digest) -> Iterator[None]:
        """Hold the key's lock."""
        with self._lock:
            lock, users = self._held.get(key, (threading.Lock(), 0))
            self._held[key] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, users = self._held[key]
                if users == 1:
                    del self._held[key]
                else:
                    self._held[key] = (lock, users - 1)


class Download:
    """One blob. `run` in one thread; `open` in another, before, during or after it."""

    def __init__(self, content: ContentStore, blob: Descriptor, locks: KeyedLocks) -> None:
        self.blob = blob
        self._content, self._locks = content, locks
        self._changed = threading.Condition()
        self._file: BinaryIO | None = None
        self._size = 0
        self._done = False
        self._failure: BaseException | None = None

    def run(self, fetch: Fetch, told: Callable[[int], None], say: Callable[[str], None]) -> None:
        """Fetch the blob unless it is there. Raises Invalid when the digest is wrong, and what `fetch` raises.

        `told` hears how many bytes there are, `say` what is done: the last word comes before a reader sees the end.
        """
        try:
            with self._locks.held(self.blob.digest):
                if not self._content.has(self.blob.digest):
                    self._fetch(fetch, told, say)
            say("Download complete")
            with self._changed:
                self._done = True
                self._changed.notify_all()
        except BaseException as error:
            self.fail(error)
            raise

    def fail(self, error: BaseException) -> None:
        """Whoever reads gets the error; a blob that is there already stays there."""
        with self._changed:
            if not self._done:
                self._failure = self._failure or error
            self._changed.notify_all()

    def _fetch(self, fetch: Fetch, told: Callable[[int], None], say: Callable[[str], None]) -> None:
        with self._content.writer() as writer:
            with self._changed:
                self._file = writer.reader()
                self._changed.notify_all()

            def sink(piece: memoryview) -> None:
                if self._failure is not None:
                    raise self._failure
                writer.write(piece)
                with self._changed:
                    self._size = writer.size
                    self._changed.notify_all()
                told(writer.size)

            fetch(self.blob, sink)
            say("Verifying Checksum")
            try:
                writer.commit(self.blob.digest, durable=False)
            except Invalid:
                raise Invalid(f"filesystem layer verification failed for digest {self.blob.digest}") from None

    @contextlib.contextmanager
    def open(self, told: Callable[[int], None] = lambda size: None) -> Iterator["_Following"]:
        """The blob's bytes as they come; `told` hears how many were taken. Raises what the download raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._file is not None or self._done or self._failure is not None)
            if self._failure is not None:
                raise self._failure
            file, self._file = self._file, None
        if file is None:  # it was here already, or somebody took the file: an image may have a layer twice
            file = self._content.open(self.blob.digest)
        with file:
            yield _Following(self, file, told)

    def close(self) -> None:
        """Give up what nobody opened."""
        if self._file is not None:
            self._file.close()

    def _wait(self, position: int) -> int:
        """How many bytes may be read, once there are some behind `position` or all are there."""
        with self._changed:
            self._changed.wait_for(lambda: self._size > position or self._done or self._failure is not None)
            if self._failure is not None:
                raise self._failure
            return self.blob.size if self._done else self._size


class _Following:
    """A file that grows; b"" once the blob is whole and verified."""

    def __init__(self, download: Download, file: BinaryIO, told: Callable[[int], None]) -> None:
        self._download, self._file, self._told = download, file, told
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        there = self._download._wait(self._position)
        data = self._file.read(min(size, there - self._position)) if there > self._position else b""
        self._position += len(data)
        self._told(self._position)
        return data
