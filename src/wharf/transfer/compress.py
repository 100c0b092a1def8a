"""Layers on their way out: as they are stored, or a plain archive compressed by the one encoder.

The encoder is gzip by ISA-L at level 1 without name and time: the same archive gives the same bytes wherever the same
release of the library runs, and what it gave is remembered by its name.
"""

import hashlib
from collections.abc import Callable, Iterator

import isal
from isal import isal_zlib

from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.storage.content import ContentStore

CHUNK = 1 << 20
LEVEL = 1
ENCODER = f"gzip/isal-{isal.__version__}/{LEVEL}"
_GZIP = 31
Told = Callable[[int], None]


class StoredSource:
    """A blob as it is; `told` hears how many bytes went out."""

    def __init__(self, content: ContentStore, blob: Descriptor, told: Told = lambda size: None) -> None:
        self.size: int | None = blob.size
        self._content, self._blob, self._told = content, blob, told

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The file from `offset` on."""
        with self._content.open(self._blob.digest) as file:
            file.seek(offset)
            while data := file.read(CHUNK):
                offset += len(data)
                yield data
                self._told(offset)

    def digest(self) -> Digest:
        """Known from the beginning."""
        return self._blob.digest


class CompressedSource:
    """A plain archive as gzip. `told` hears how many bytes of the archive are done."""

    def __init__(self, content: ContentStore, layer: Descriptor, told: Told = lambda size: None) -> None:
        self.size: int | None = None
        self._content, self._layer, self._told = content, layer, told
        self._hash = hashlib.sha256()
        self.length = 0

    def chunks(self, offset: int) -> Iterator[bytes]:
        """The compressed bytes from `offset` on: what lies before is made again and hashed."""
        self._hash, self.length = hashlib.sha256(), 0
        for piece in self._compressed():
            self._hash.update(piece)
            before, self.length = self.length, self.length + len(piece)
            if self.length > offset:
                yield piece[max(offset - before, 0) :]

    def digest(self) -> Digest:
        """After `chunks` came to its end."""
        return Digest(self._hash.hexdigest())

    def _compressed(self) -> Iterator[bytes]:
        encoder = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _GZIP)
        done = 0
        with self._content.open(self._layer.digest) as file:
            while data := file.read(CHUNK):
                if piece := encoder.compress(data):
                    yield piece
                done += len(data)
                self._told(done)
        yield encoder.flush()
