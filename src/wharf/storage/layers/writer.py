"""Writing an archive to a descriptor: headers collected in a buffer, large data copied straight through."""

import os

from wharf.errors import Internal
from wharf.storage.layers.header import END, Entry, format_entry, padding

CHUNK = 1 << 20


class ArchiveWriter:
    """An uncompressed archive written to `fd`; `size` is the bytes so far. Call `end` last.

    `newest` (seconds since 1970) is the latest time that an entry gets.
    """

    def __init__(self, fd: int, newest: int | None = None) -> None:
        self._fd = fd
        self._newest = None if newest is None else newest * 10**9
        self._parts: list[bytes] = []
        self._pending = 0
        self.size = 0

    def add(self, entry: Entry, data: bytes = b"") -> None:
        """An entry with its data in memory (`entry.size` must be its length)."""
        self._put(self._header(entry))
        if data:
            self._put(data)
            self._put(padding(len(data)))

    def add_file(self, entry: Entry, file: int) -> None:
        """A regular file's entry with `entry.size` bytes from `file`; the rest is zeros when it has become shorter."""
        self._put(self._header(entry))
        left = entry.size
        while left:
            data = os.read(file, min(left, CHUNK))
            if not data:  # truncated under us, by a running container
                data = bytes(min(left, CHUNK))
            self._put(data)
            left -= len(data)
        self._put(padding(entry.size))

    def end(self) -> None:
        """Write the end of the archive and all that is pending."""
        self._put(END)
        self._flush()

    def _header(self, entry: Entry) -> bytes:
        if self._newest is not None and entry.mtime > self._newest:
            entry.mtime = self._newest
        return format_entry(entry)

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._pending += len(data)
        self.size += len(data)
        if self._pending >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        view = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._pending = 0
        while view:
            written = os.write(self._fd, view)
            if not written:
                raise Internal("the archive's reader is gone")
            view = view[written:]
