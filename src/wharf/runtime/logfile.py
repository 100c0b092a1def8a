"""Reading a log of either form: history with tail, since and until over rotated files, then what comes after.

The monitor is the only writer. A reader never loses or doubles a record: it keeps the file it has open until that
is read to the end, and only then follows the name to the next one.
"""

import os
import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from wharf.runtime.logforms import BLOCK, Form, JsonForm, LogEntry, parse_time

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's wbits for a gzip header
_TRIES = 1000  # between two system calls of a rotation there is no current file


class LogReader:
    """One reading of one log, with `close`; also a context manager."""

    def __init__(self, path: str, form: Form | None = None) -> None:
        """`form`: None is json-file's."""
        self._path, self._form = path, form or JsonForm()
        self._file: BinaryIO | None = None
        self._queue: list[BinaryIO] = []

    def __enter__(self) -> "LogReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the current file and those that wait."""
        for file in (self._file, *self._queue):
            if file is not None:
                file.close()
        self._file, self._queue = None, []

    def history(self, tail: int = -1, since: int = 0, until: int = 0) -> Iterator[LogEntry]:
        """Records up to now, oldest first: of the last `tail` (-1: all) those with since <= time <= until (ns)."""
        files = self._open_all()
        start = self._seek_tail(files, tail) if tail >= 0 else self._skip_old(files, since)
        for number, file in enumerate(files):
            is_last = number == len(files) - 1
            if number >= start:
                file = files[number] = _plain(file)
            if is_last:
                self._file = file
            if number >= start:
                yield from _between(self._read(file), since, until)
            elif is_last:
                file.seek(0, os.SEEK_END)
            if not is_last:
                file.close()

    def more(self, since: int = 0, until: int = 0) -> Iterator[LogEntry]:
        """Records written since the last call, across rotation; call when the doorbell rings."""
        yield from _between(self._new(), since, until)

    def _new(self) -> Iterator[LogEntry]:
        while True:
            if self._file is None:
                self._file = _open(self._path)
                if self._file is None:
                    return
            if os.fstat(self._file.fileno()).st_size < self._file.tell():
                self._file.seek(0)  # truncated: max-file is 1
            moved = bool(self._queue) or self._has_moved(self._file)
            yield from self._read(self._file)
            if not moved:
                return
            self._advance(self._file)

    def _advance(self, done: BinaryIO) -> None:
        """To the file that was begun after `done`. There may be several: all are opened now, so that no further
        rotation takes one away."""
        if not self._queue:
            files = self._open_all()
            same = [number for number, file in enumerate(files) if _same(file, done)]
            start = same[-1] + 1 if same else 0  # not there: rotated away altogether
            for file in files[:start]:
                file.close()
            self._queue = files[start:]
        done.close()
        self._file = _plain(self._queue.pop(0)) if self._queue else None

    def _has_moved(self, file: BinaryIO) -> bool:
        """Whether the name belongs to another file now. Asked before the last read, or its end could be missed."""
        try:
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _open_all(self) -> list[BinaryIO]:
        """The current file and its predecessors, oldest first; opened newest first, so that a rotation only repeats."""
        files: list[BinaryIO] = []
        number = 0
        while (file := self._open_number(number)) is not None:
            if any(_same(file, other) for other in files):
                file.close()
            else:
                files.insert(0, file)
            number += 1
        return files

    def _open_number(self, number: int) -> BinaryIO | None:
        if number:
            name = f"{self._path}.{number}"
            return _open(name) or _open(f"{name}.gz") or _open(name)
        for _ in range(_TRIES):
            file = _open(self._path)
            if file is not None or not os.path.exists(f"{self._path}.1"):
                return file
        return None

    def _read(self, file: BinaryIO) -> Iterator[LogEntry]:
        rest = b""
        while block := file.read(BLOCK):
            entries, rest = self._form.split(rest + block)
            yield from entries
        if rest:  # read again: a writer that finds no room for all of a record cuts it off, and writes another there
            file.seek(-len(rest), os.SEEK_CUR)

    def _skip_old(self, files: list[BinaryIO], since: int) -> int:
        """Index of the first file that may hold something of `since` or later: the next one begins after it."""
        if not since:
            return 0
        for number in range(len(files) - 1, 0, -1):
            files[number] = _plain(files[number])
            entries, _ = self._form.split(os.pread(files[number].fileno(), BLOCK, 0))
            if entries and parse_time(entries[0].time) < since:
                return number
        return 0

    def _seek_tail(self, files: list[BinaryIO], tail: int) -> int:
        """Position the files so that `tail` records follow; the index of the first file to read."""
        left = tail
        for number in range(len(files) - 1, -1, -1):
            files[number] = _plain(files[number])
            left = self._form.seek_back(files[number], left)
            if left == 0:
                return number
        return 0


def _is_packed(file: BinaryIO) -> bool:
    return os.pread(file.fileno(), 2, 0) == _GZIP


def _same(one: BinaryIO, other: BinaryIO) -> bool:
    """Whether two files are one, or one is the other compressed: that has its time (rotation.py) and tells its size."""
    first, second = os.fstat(one.fileno()), os.fstat(other.fileno())
    if (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino):
        return True
    packed = _is_packed(one), _is_packed(other)
    if packed[0] == packed[1] or first.st_mtime_ns != second.st_mtime_ns:
        return False
    file, size, whole = (one, first.st_size, second.st_size) if packed[0] else (other, second.st_size, first.st_size)
    return os.pread(file.fileno(), 4, size - 4) == (whole & 0xFFFFFFFF).to_bytes(4, "little")


def _plain(file: BinaryIO) -> BinaryIO:
    """The file itself, or in its place what it holds compressed, in a file without a name."""
    if not _is_packed(file):
        return file
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    plain = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        with file:
            while (block := file.read(BLOCK)) and not unpacker.eof:
                while block:
                    plain.write(unpacker.decompress(block, BLOCK))
                    block = unpacker.unconsumed_tail
        plain.write(unpacker.flush())
    except zlib.error:
        plain.truncate(plain.tell())  # what could be read of a damaged file
    plain.seek(0)
    return plain


def _open(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb", buffering=0)  # what is read again is not from a buffer
    except FileNotFoundError:
        return None


def _between(entries: Iterator[LogEntry], since: int, until: int) -> Iterator[LogEntry]:
    if not since and not until:
        yield from entries
        return
    for entry in entries:
        when = parse_time(entry.time)
        if until and when > until:
            return
        if when >= since:
            yield entry
