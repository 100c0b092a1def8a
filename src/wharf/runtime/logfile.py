"""Reading a json-file log: history with tail, since and until over rotated files, then what comes after.

The monitor is the only writer. A reader never loses or doubles a record: it keeps the file it has open until that
is read to the end, and only then follows the name to the next one.
"""

import calendar
import json
import os
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_BLOCK = 256 << 10
_BEFORE, _MIDDLE, _TIME = b'{"log":"', b'","stream":"', b'","time":"'


class LogEntry(NamedTuple):
    """One record. `line` ends with a newline unless the line was split; `time` is RFC 3339 with nanoseconds."""

    line: bytes
    stream: str
    time: str
    attrs: dict[str, str]


def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time in UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int((fraction + "000000000")[:9])


def parse_entry(raw: bytes) -> LogEntry | None:
    """A record, or None when the line is none (a torn write after a crash of the machine)."""
    middle = raw.rfind(_MIDDLE)
    stamp = raw.rfind(_TIME)
    if raw.startswith(_BEFORE) and middle >= 0 and stamp - middle - len(_MIDDLE) == 6 and raw.endswith(b'"}\n'):
        text = raw[len(_BEFORE) : middle]
        ends = text.endswith(b"\\n")
        body = text[:-2] if ends else text
        if b"\\" not in body:
            line = body + b"\n" if ends else body
            return LogEntry(line, raw[middle + 12 : stamp].decode(), raw[stamp + 10 : -3].decode(), {})
    try:
        value = json.loads(raw)
        return LogEntry(value["log"].encode(), value["stream"], value["time"], value.get("attrs") or {})
    except (ValueError, KeyError, AttributeError, TypeError):
        return None


class LogReader:
    """One reading of one log, with `close`; also a context manager."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._queue: list[BinaryIO] = []
        self._rest = b""

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
        start = self._seek_tail(files, tail) if tail >= 0 else 0
        for number, file in enumerate(files):
            is_last = number == len(files) - 1
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
                self._rest = b""
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
            inodes = [os.fstat(file.fileno()).st_ino for file in files]
            inode = os.fstat(done.fileno()).st_ino
            start = inodes.index(inode) + 1 if inode in inodes else 0  # not there: rotated away altogether
            for file in files[:start]:
                file.close()
            self._queue = files[start:]
        done.close()
        self._file = self._queue.pop(0) if self._queue else None
        self._rest = b""

    def _has_moved(self, file: BinaryIO) -> bool:
        """Whether the name belongs to another file now. Asked before the last read, or its end could be missed."""
        try:
            return os.stat(self._path).st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False

    def _open_all(self) -> list[BinaryIO]:
        """The current file and its predecessors, oldest first; opened newest first, so that a rotation only repeats."""
        files: list[BinaryIO] = []
        seen: set[int] = set()
        number = 0
        while True:
            file = _open(f"{self._path}.{number}" if number else self._path)
            if file is None:
                break
            inode = os.fstat(file.fileno()).st_ino
            if inode in seen:
                file.close()
            else:
                seen.add(inode)
                files.insert(0, file)
            number += 1
        return files

    def _read(self, file: BinaryIO) -> Iterator[LogEntry]:
        while block := file.read(_BLOCK):
            lines = (self._rest + block).splitlines(keepends=True)
            self._rest = lines.pop() if not lines[-1].endswith(b"\n") else b""
            for raw in lines:
                entry = parse_entry(raw)
                if entry is not None:
                    yield entry

    def _seek_tail(self, files: list[BinaryIO], tail: int) -> int:
        """Position the files so that `tail` records follow; the index of the first file to read."""
        left = tail
        for number in range(len(files) - 1, -1, -1):
            left = _seek_back(files[number], left)
            if left == 0:
                return number
        return 0


def _open(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _seek_back(file: BinaryIO, wanted: int) -> int:
    """Seek to before the last `wanted` lines; how many are still missing at the file's start."""
    position = file.seek(0, os.SEEK_END)
    if wanted == 0:
        return 0
    left = wanted + 1  # the newline that ends the last line is not the start of one
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        block = os.pread(file.fileno(), size, position)
        found = block.count(b"\n")
        if found >= left:
            index = len(block)
            for _ in range(left):
                index = block.rindex(b"\n", 0, index)
            file.seek(position + index + 1)
            return 0
        left -= found
    file.seek(0)
    return left - 1


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
