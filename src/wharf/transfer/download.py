"""A blob on its way into the store: one thread writes and hashes it, another may read it meanwhile.

The blob becomes visible when its digest is right. Who reads it earlier gets an error instead of the end when it is
not, so nothing that was made of it is kept: `Replaced` when it is fetched again from another source, to be opened anew.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

from wharf.errors import Invalid, Unavailable
from wharf.kernel import faults
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.storage.content import ContentStore


class Source(Protocol):
    """Where blobs come from: a repository with its mirrors."""

    def download(self, blob: Descriptor, sink: Callable[[memoryview], object], /) -> None:
        """Give the sink all bytes of a blob, in order; raises WharfError."""

    def distrust(self, digest: Digest, /) -> bool:
        """What was given for a blob was wrong; whether another may give it."""


class Replaced(Unavailable):
    """What was read of a blob was wrong, and it comes again."""


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
        self._round = 0
        """How often the blob had to come again."""
        self._done = False
        self._failure: BaseException | None = None

    def run(self, source: Source, told: Callable[[int], None], say: Callable[[str], None]) -> None:
        """Fetch the blob unless it is there. Raises Invalid when the digest is wrong, and what `source` raises.

        `told` hears how many bytes there are, `say` what is done: the last word comes before a reader sees the end.
        """
        try:
            with self._locks.held(self.blob.digest):
                if not self._content.has(self.blob.digest):
                    while not self._fetch(source, told, say):
                        say("Retrying from another source")
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

    def _fetch(self, source: Source, told: Callable[[int], None], say: Callable[[str], None]) -> bool:
        """Whether the blob is there; else it was wrong and may be right from another source."""
        with self._content.writer() as writer:
            with self._changed:
                self.close()
                self._file, self._size = writer.reader(), 0
                self._changed.notify_all()

            def sink(piece: memoryview) -> None:
                if self._failure is not None:
                    raise self._failure
                writer.write(piece)
                with self._changed:
                    self._size = writer.size
                    self._changed.notify_all()
                told(writer.size)

            source.download(self.blob, sink)
            say("Verifying Checksum")
            try:
                writer.commit(self.blob.digest, durable=False)
                faults.done("pull:blob")
                return True
            except Invalid:
                if not source.distrust(self.blob.digest):
                    raise Invalid(f"filesystem layer verification failed for digest {self.blob.digest}") from None
        with self._changed:
            self._round += 1
            self._size = 0
            self.close()
            self._changed.notify_all()
        return False

    @contextlib.contextmanager
    def open(self, told: Callable[[int], None] = lambda size: None) -> Iterator["_Following"]:
        """The blob's bytes as they come; `told` hears how many were taken. Raises what the download raised.

        Raises Replaced, also instead of what the caller made of wrong bytes, when the blob comes again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._file is not None or self._done or self._failure is not None)
            if self._failure is not None:
                raise self._failure
            file, self._file = self._file, None
            following = _Following(self, told, self._round)
        if file is None:  # it was here already, or somebody took the file: an image may have a layer twice
            file = self._content.open(self.blob.digest)
        with file:
            following.file = file
            try:
                yield following
            except Invalid:
                self._judge(following.round)
                raise

    def _judge(self, round_: int) -> None:
        """What was read made no sense: wait until it is known whether these were the blob's bytes."""
        with self._changed:
            self._changed.wait_for(lambda: self._round != round_ or self._done or self._failure is not None)
            if self._failure is not None:
                raise self._failure from None
            if self._round != round_:
                raise Replaced(f"layer {self.blob.digest} comes from another source") from None

    def close(self) -> None:
        """Give up what nobody opened."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def wait(self, position: int, round_: int) -> int:
        """How many bytes may be read, once there are some behind `position` or all are there."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._size > position or self._done or self._failure is not None or self._round != round_
            )
            if self._failure is not None:
                raise self._failure
            if self._round != round_:
                raise Replaced(f"layer {self.blob.digest} comes from another source")
            return self.blob.size if self._done else self._size


class _Following:
    """A file that grows; b"" once the blob is whole and verified."""

    file: BinaryIO

    def __init__(self, download: Download, told: Callable[[int], None], round_: int) -> None:
        self._download, self._told, self.round = download, told, round_
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""
        there = self._download.wait(self._position, self.round)
        data = self.file.read(min(size, there - self._position)) if there > self._position else b""
        self._position += len(data)
        self._told(self._position)
        return data
