"""The two forms of a log file, read: bytes to entries, and the place where the last entries begin."""

import calendar
import functools
import json
import os
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, Protocol

from wharf.runtime.jsonlog import timestamp
from wharf.runtime.locallog import MAX_ENTRY

BLOCK = 256 << 10
_BEFORE, _MIDDLE, _TIME = b'{"log":"', b'","stream":"', b'","time":"'
_LENGTH = 4
_TIME_SIZE = 9
"""Bytes of a varint of nanoseconds, from 1972 to 2262."""
_SOURCES = {b"stdout": "stdout", b"stderr": "stderr"}


class Partial(NamedTuple):
    """A piece of a line that was too long: `name` is common to all pieces, `ordinal` counts them from 1."""

    name: str
    ordinal: int
    last: bool


class LogEntry(NamedTuple):
    """One record. `line` ends with a newline unless more of the line follows; `time` is RFC 3339 with nanoseconds."""

    line: bytes
    stream: str
    time: str
    attrs: dict[str, str]
    partial: Partial | None = None


class Form(Protocol):
    """How entries lie in a file."""

    def split(self, data: bytes) -> tuple[list[LogEntry], bytes]:
        """The whole entries at the start of `data` and the bytes that remain."""

    def seek_back(self, file: BinaryIO, wanted: int) -> int:
        """Seek to before the last `wanted` entries; how many are still missing at the file's start."""


@functools.lru_cache(maxsize=64)
def parse_time(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time in UTC."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds * 1_000_000_000 + int((fraction + "000000000")[:9])


def parse_entry(raw: bytes) -> LogEntry | None:
    """A record of json-file, or None when the line is none. Half a record before it is passed over: a crash has torn
    that, and whoever wrote on did not cut it off."""
    middle = raw.rfind(_MIDDLE)
    stamp = raw.rfind(_TIME)
    if raw.startswith(_BEFORE) and middle >= 0 and stamp - middle - len(_MIDDLE) == 6 and raw.endswith(b'"}\n'):
        text = raw[len(_BEFORE) : middle]
        ends = text.endswith(b"\\n")
        body = text[:-2] if ends else text
        if b"\\" not in body and b'"' not in body:
            line = body + b"\n" if ends else body
            return LogEntry(line, raw[middle + 12 : stamp].decode(), raw[stamp + 10 : -3].decode(), {})
    try:
        value = json.loads(raw)
        return LogEntry(value["log"].encode(), value["stream"], value["time"], value.get("attrs") or {})
    except (ValueError, KeyError, AttributeError, TypeError):
        glued = raw.rfind(_BEFORE)  # not of a text: there every quote has a backslash
        return parse_entry(raw[glued:]) if glued > 0 else None


class JsonForm:
    """One JSON object a line."""

    def split(self, data: bytes) -> tuple[list[LogEntry], bytes]:
        """See `Form`; lines that are no records are passed over."""
        lines = data.splitlines(keepends=True)
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        return [entry for entry in map(parse_entry, lines) if entry is not None], rest

    def seek_back(self, file: BinaryIO, wanted: int) -> int:
        """See `Form`."""
        position = file.seek(0, os.SEEK_END)
        if wanted == 0:
            return 0
        left = wanted + 1  # the newline that ends the last line is not the start of one
        while position > 0:
            size = min(BLOCK, position)
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


class LocalForm:
    """Docker's local form, see locallog.py."""

    def split(self, data: bytes) -> tuple[list[LogEntry], bytes]:
        """See `Form`; after damage nothing more is found in `data`."""
        out: list[LogEntry] = []
        position, size = 0, len(data)
        texts: dict[bytes, str] = {}
        while size - position >= _LENGTH:
            length = int.from_bytes(data[position : position + _LENGTH], "big")
            if length > MAX_ENTRY:
                return out, b""
            end = position + length + 2 * _LENGTH
            if end > size:
                break
            entry = _parse_local(data[position + _LENGTH : end - _LENGTH], texts)
            if entry is not None:
                out.append(entry)
            position = end
        return out, data[position:]

    def seek_back(self, file: BinaryIO, wanted: int) -> int:
        """See `Form`: every record ends with its length too."""
        position = file.seek(0, os.SEEK_END)
        start, block = position, b""
        while wanted > 0 and position >= 2 * _LENGTH:
            if position - start < _LENGTH:
                start = max(0, position - BLOCK)
                block = os.pread(file.fileno(), position - start, start)
            length = int.from_bytes(block[position - start - _LENGTH : position - start], "big")
            before = position - length - 2 * _LENGTH
            if length > MAX_ENTRY or before < 0:
                break
            position = before
            wanted -= 1
        file.seek(position)
        return wanted


def _parse_local(entry: bytes, texts: dict[bytes, str]) -> LogEntry | None:
    """One LogEntry. Nearly all are source, time and line in this order: read without a look at each field. `texts`
    remembers times that were written out, for many records share one."""
    time_at = 3 + entry[1] if len(entry) > 1 else 0
    line_at = time_at + _TIME_SIZE
    if entry[:1] == b"\x0a" and entry[line_at : line_at + 1] == b"\x1a" and entry[time_at - 1] == 0x10:
        size, start = _varint(entry, line_at + 1)
        if start + size == len(entry) and entry[line_at - 1] < 0x80:
            when = entry[time_at:line_at]
            text = texts.get(when)
            if text is None:
                text = texts[when] = timestamp(_varint(when, 0)[0])
            return LogEntry(entry[start:] + b"\n", _SOURCES.get(entry[2 : time_at - 1], ""), text, {})
    return _parse_fields(entry)


def _parse_fields(entry: bytes) -> LogEntry | None:
    stream, when, line, detail = "", 0, b"", b""
    try:
        for field, value in fields(entry):
            if field == 1 and isinstance(value, bytes):
                stream = value.decode()
            elif field == 2 and isinstance(value, int):
                when = value
            elif field == 3 and isinstance(value, bytes):
                line = value
            elif field == 5 and isinstance(value, bytes):
                detail = value
        partial = _partial(detail) if detail else None
    except (ValueError, IndexError):
        return None
    return LogEntry(line if partial and not partial.last else line + b"\n", stream, timestamp(when), {}, partial)


def _partial(detail: bytes) -> Partial:
    found = dict(fields(detail))
    name = found.get(2, b"")
    return Partial(name.decode() if isinstance(name, bytes) else "", int(found.get(3, 0)), bool(found.get(1)))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of a protobuf message's fields; varints and bytes only. Raises ValueError, IndexError."""
    position, size = 0, len(message)
    while position < size:
        key, position = _varint(message, position)
        number, position = _varint(message, position)
        if key & 7 == 0:
            yield key >> 3, number
        elif key & 7 == 2 and position + number <= size:
            yield key >> 3, message[position : position + number]
            position += number
        else:
            raise ValueError("not a field of a log entry")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
