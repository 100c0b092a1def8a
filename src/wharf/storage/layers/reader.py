"""Reading an archive from a descriptor: entries one after the other, their data in between, in bounded memory."""

import errno
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
_ROOM = 64 << 10
"""Beside CHUNK: for what is left of the piece before."""
MAX_ID = (1 << 32) - 2
"""The highest user or group id; the one above means "do not change" to chown(2)."""


class ArchiveReader:
    """An uncompressed archive read from `fd` (a pipe, socket or file) to its very end.

    Iterate `entries()`; between two entries take the data with `data()` or leave it to be skipped.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray(CHUNK + _ROOM)
        self._view = memoryview(self._buffer)
        self._at = self._end = 0
        """What is read and not yet taken lies between the two."""
        self._left = 0
        self._pad = 0
        self._spliceable = True
        self._most = MAX_ENTRIES
        self.position = 0
        """Bytes of the archive handed out so far."""
        self.count = 0
        """Headers read so far."""

    def entries(self, most: int = MAX_ENTRIES) -> Iterator[Entry]:
        """Raises Invalid when the archive is cut short, malformed, or has more than `most` headers."""
        self._most = most
        while True:
            end = self._at + self._left + self._pad
            if end <= self._end:  # nearly always
                self.position += end - self._at
                self._at, there = end, True
            else:
                self._skip(self._left)
                there = self._skip_padding(self._pad)
            entry = self._next() if there else None
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

    def pour(self, file: int) -> int:
        """Write some of what is left of the present entry's data to the open file; the bytes, 0 when nothing is left.

        From a pipe they go by splice(2), which copies them once instead of twice.
        """
        if not self._left:
            return 0
        if self._at == self._end and self._spliceable:
            try:
                size = os.splice(self._fd, file, min(self._left, CHUNK))
            except OSError as error:
                if error.errno != errno.EINVAL:  # no pipe, or a file system that cannot
                    raise
                self._spliceable = False
                return self.pour(file)
            if not size:
                raise Invalid("unexpected EOF")
            self.position += size
        else:
            piece = self._piece(self._left)
            size = len(piece)
            write_all(file, piece)
        self._left -= size
        return size

    def whole(self) -> memoryview | None:
        """All data of the present entry when it is in memory already (small files are), else None: use `data`."""
        size = self._left
        end = self._at + size
        if end > self._end:
            return None
        view = self._view[self._at : end]
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
        while self._at + size > self._end:
            if not self._fill(size):
                if end_allowed and self._at == self._end:
                    return b""
                raise Invalid("unexpected EOF")
        end = self._at + size
        data = bytes(self._view[self._at : end])
        self._at = end
        self.position += size
        return data

    def _piece(self, most: int) -> memoryview:
        """Good until the next one is asked for."""
        if self._at == self._end and not self._fill():
            raise Invalid("unexpected EOF")
        view = self._view[self._at : min(self._at + most, self._end)]
        self._at += len(view)
        self.position += len(view)
        return view

    def _fill(self, wanted: int = 0) -> bool:
        """Read more behind what is left, which moves to the front; False at the end.

        One buffer for all: memory that was touched before costs no page faults.
        """
        left = self._end - self._at
        if wanted > len(self._buffer):  # an extended header of the largest kind
            self._view = memoryview(grown := bytearray(wanted + _ROOM))
            grown[:left] = self._buffer[self._at : self._end]
            self._buffer = grown
        elif self._at:
            self._view[:left] = self._view[self._at : self._end]
        self._at, self._end = 0, left
        more = os.readv(self._fd, [self._view[left : left + CHUNK]])
        self._end += more
        return more > 0

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._piece(size))

    def _skip_padding(self, size: int) -> bool:
        """Whether it is there: an archive may end with an entry's last byte, as `docker build -f -` sends it."""
        while size:
            if self._at == self._end and not self._fill():
                return False
            size -= len(self._piece(size))
        return True

    def _drain(self) -> None:
        """Read what follows the end marker, so that the writer of a pipe is not cut off; it is ignored."""
        while self._at < self._end or self._fill():
            self.position += self._end - self._at
            self._at = self._end


def write_all(file: int, view: memoryview) -> None:
    """write(2) until all is written."""
    while view:
        view = view[os.write(file, view) :]
