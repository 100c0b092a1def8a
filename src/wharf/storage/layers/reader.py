"""Reading an archive from a descriptor: entries one after the other, their data in between, in bounded memory."""

import os
from collections.abc import Iterator

from wharf.errors import Invalid
from wharf.storage.layers.header import (
    BLOCK,
    EXTENDED,
    GLOBAL,
    LONG_LINK,
    LONG_NAME,
    ZERO_BLOCK,
    Entry,
    apply_pax,
    parse_block,
    parse_pax,
)
from wharf.storage.limits import MAX_ENTRIES, MAX_PAX_SIZE

CHUNK = 1 << 20
MAX_ID = (1 << 32) - 2
"""The highest user or group id; the one above means "do not change" to chown(2)."""


class ArchiveReader:
    """An uncompressed archive read from `fd` (a pipe, socket or file) to its very end.

    Iterate `entries()`; between two entries take the data with `data()` or leave it to be skipped.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._pad = 0
        self._most = MAX_ENTRIES
        self.position = 0
        """Bytes of the archive handed out so far."""
        self.count = 0
        """Headers read so far."""

    def entries(self, most: int = MAX_ENTRIES) -> Iterator[Entry]:
        """Raises Invalid when the archive is cut short, malformed, or has more than `most` headers."""
        self._most = most
        while True:
            self._skip(self._left)
            entry = self._next() if self._skip_padding(self._pad) else None
            self._left = self._pad = 0
            if entry is None:
                self._drain()
                return
            self._left = entry.size
            self._pad = -entry.size % BLOCK
            yield entry

    def data(self) -> Iterator[memoryview]:
        """What is left of the present entry's data, in pieces of at most CHUNK bytes."""
        while self._left:
            piece = self._piece(self._left)
            self._left -= len(piece)
            yield piece

    def whole(self) -> memoryview | None:
        """All data of the present entry when it is in memory already (small files are), else None: use `data`."""
        size = self._left
        end = self._at + size
        if end > len(self._buffer):
            return None
        view = memoryview(self._buffer)[self._at : end]
        self._at = end
        self.position += size
        self._left = 0
        return view

    def _next(self) -> Entry | None:
        name = link = None
        records: dict[bytes, bytes] = {}
        while True:
            block = self._take(BLOCK, end_allowed=True)
            if not block or (block == ZERO_BLOCK):
                if name or link or records:
                    raise Invalid("unexpected EOF")
                return None
            self.count += 1
            if self.count > self._most:
                raise Invalid(f"more than {self._most} entries (limit max-entries)")
            entry = parse_block(block)
            kind = entry.kind
            if kind == EXTENDED:
                records = parse_pax(self._extra(entry))
            elif kind == GLOBAL:
                self._extra(entry)  # Docker ignores these too; git archives have one with a comment
            elif kind == LONG_NAME:
                name = self._extra(entry).split(b"\0", 1)[0]
            elif kind == LONG_LINK:
                link = self._extra(entry).split(b"\0", 1)[0]
            else:
                break
        if name is not None:
            entry.name = name
        if link is not None:
            entry.link = link
        if records:
            apply_pax(entry, records)
        if entry.uid > MAX_ID or entry.gid > MAX_ID:
            raise Invalid(f"owner {entry.uid}:{entry.gid} is out of range")
        return entry

    def _extra(self, entry: Entry) -> bytes:
        if entry.size > MAX_PAX_SIZE:
            raise Invalid(f"an extended header of {entry.size} bytes exceeds the limit of {MAX_PAX_SIZE}")
        data = self._take(entry.size + -entry.size % BLOCK)
        return data[: entry.size]

    def _take(self, size: int, end_allowed: bool = False) -> bytes:
        """Exactly `size` bytes, or none at a clean end where that is allowed."""
        end = self._at + size
        while end > len(self._buffer):
            if not self._fill():
                if end_allowed and self._at == len(self._buffer):
                    return b""
                raise Invalid("unexpected EOF")
            end = self._at + size
        data = self._buffer[self._at : end]
        self._at = end
        self.position += size
        return data

    def _piece(self, most: int) -> memoryview:
        if self._at == len(self._buffer) and not self._fill():
            raise Invalid("unexpected EOF")
        view = memoryview(self._buffer)[self._at : self._at + most]
        self._at += len(view)
        self.position += len(view)
        return view

    def _fill(self) -> bool:
        more = os.read(self._fd, CHUNK)
        self._buffer = self._buffer[self._at :] + more
        self._at = 0
        return bool(more)

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._piece(size))

    def _skip_padding(self, size: int) -> bool:
        """Whether it is there: an archive may end with an entry's last byte, as `docker build -f -` sends it."""
        while size:
            if self._at == len(self._buffer) and not self._fill():
                return False
            size -= len(self._piece(size))
        return True

    def _drain(self) -> None:
        """Read what follows the end marker, so that the writer of a pipe is not cut off; it is ignored."""
        self.position += len(self._buffer) - self._at
        self._at = len(self._buffer)
        while self._fill():
            self.position += len(self._buffer)
            self._at = len(self._buffer)
