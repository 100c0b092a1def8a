"""The local log: Docker's binary form, about half of json-file's size (moby, daemon/logger/local).

    record := length (uint32, big endian) entry length
    entry  := protobuf LogEntry { 1 source, 2 time_nano (varint), 3 line, 4 partial,
                                  5 { 1 last, 2 id, 3 ordinal } }

A line has no newline; a line longer than SPLIT is several records, told by `partial` and its metadata.
"""

import os

from wharf.runtime.rotation import RotatingFile

MAX_ENTRY = 1 << 20
"""No record is longer: a length above it is damage."""
_LENGTH = 4


def varint(number: int) -> bytes:
    """Protobuf's base-128 form of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class LocalLog:
    """Writer of `container.log` and `container-cached.log`."""

    def __init__(self, file: RotatingFile) -> None:
        self.file = file
        self._partial: dict[bytes, tuple[bytes, int]] = {}
        """By stream: id and number of the next piece of a line that was split."""

    def write(self, stream: bytes, runs: list[bytes], now_ns: int) -> None:
        """Append the records of `runs` (see LineSplitter), all with one time."""
        source = b"\x0a" + varint(len(stream)) + stream + b"\x10" + varint(now_ns) + b"\x1a"
        for run in runs:
            if stream in self._partial or not run.endswith(b"\n"):
                line, newline, run = run.partition(b"\n") if run.endswith(b"\n") else (run, b"", b"")
                self.file.append(self._piece(stream, source, line, bool(newline)), now_ns, cut)
            if run:
                self.file.append(_records(run, source), now_ns, cut)

    def _piece(self, stream: bytes, source: bytes, line: bytes, last: bool) -> bytes:
        name, ordinal = self._partial.pop(stream, (os.urandom(32).hex().encode(), 1))
        if not last:
            self._partial[stream] = (name, ordinal + 1)
        detail = (b"\x08\x01" if last else b"") + b"\x12" + varint(len(name)) + name + b"\x18" + varint(ordinal)
        return _framed(source + varint(len(line)) + line + b"\x20\x01\x2a" + varint(len(detail)) + detail)


def _framed(entry: bytes) -> bytes:
    length = len(entry).to_bytes(_LENGTH, "big")
    return length + entry + length


def _records(run: bytes, source: bytes) -> bytes:
    """The records of complete lines. All of one length share what surrounds the line: it is made once for each."""
    around: dict[int, tuple[bytes, bytes]] = {}
    out: list[bytes] = []
    lines = run.split(b"\n")
    lines.pop()
    for line in lines:
        size = len(line)
        ends = around.get(size)
        if ends is None:
            head = source + varint(size)
            length = (len(head) + size).to_bytes(_LENGTH, "big")
            ends = around[size] = (length + head, length)
        out += (ends[0], line, ends[1])
    return b"".join(out)


def cut(records: bytes, room: int) -> int:
    """The end of the first record that ends at or after `room`."""
    end = 0
    while True:
        end += int.from_bytes(records[end : end + _LENGTH], "big") + 2 * _LENGTH
        if end >= room or end >= len(records):
            return end


def mend(path: str) -> None:
    """Cut off a last record that a crash of the machine has torn: nothing behind it could be found again."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(fd).st_size
        if not _ends_whole(fd, size):
            os.ftruncate(fd, _whole(fd, size))
    finally:
        os.close(fd)


def _ends_whole(fd: int, size: int) -> bool:
    if size < 2 * _LENGTH:
        return size == 0
    length = int.from_bytes(os.pread(fd, _LENGTH, size - _LENGTH), "big")
    start = size - length - 2 * _LENGTH
    return length <= MAX_ENTRY and start >= 0 and int.from_bytes(os.pread(fd, _LENGTH, start), "big") == length


def _whole(fd: int, size: int) -> int:
    """Where the last whole record ends, from the start."""
    position = 0
    while True:
        length = int.from_bytes(os.pread(fd, _LENGTH, position), "big")
        end = position + length + 2 * _LENGTH
        if (
            not 0 < length <= MAX_ENTRY
            or end > size
            or os.pread(fd, _LENGTH, end - _LENGTH) != length.to_bytes(4, "big")
        ):
            return position
        position = end
