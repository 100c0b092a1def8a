"""The json-file log: one JSON object for each line, exactly as Docker writes it.

The fast way works on whole reads: when a read holds nothing that JSON must escape, replacing each newline by the
end of one record and the start of the next makes all records at once (100 MB in a few tenths of a second).
"""

import os
import time

from wharf.runtime.rotation import RotatingFile

SPLIT = 16 << 10
"""A longer line becomes several records; only the last one ends with a newline (moby, logger/copier.go)."""

_STEP = 64 << 10
_SAFE = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\<>&') + b"\n"
_ESCAPES = {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("<"): "\\u003c",
    ord(">"): "\\u003e",
    ord("&"): "\\u0026",
    0x7F: "\x7f",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
    **{code: f"\\u{code:04x}" for code in range(0x20) if code not in (9, 10, 13)},
}


def timestamp(now_ns: int) -> str:
    """RFC 3339 with nanoseconds in UTC, trailing zeros cut as Go's RFC3339Nano does."""
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f"{nanoseconds:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def escape(data: bytes) -> bytes:
    """The inside of JSON strings, with Docker's choice of escapes; bytes that are not UTF-8 become U+FFFD.

    Newlines stay: they part the records of a run. A whole run at once, since an object for each line would be slow
    and leave the monitor's memory in pieces.
    """
    text = data.decode("utf-8", "replace")
    return text.translate(_ESCAPES).replace("\ufffd", "\\ufffd").encode()


class LineSplitter:
    """Turns the reads of one stream into whole records' texts, keeping the rest of an unfinished line."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Runs of complete lines, and pieces of SPLIT bytes without a newline where a line is longer than that."""
        data = self._rest + data if self._rest else data
        runs: list[bytes] = []
        start = position = 0
        size = len(data)
        while size - position >= SPLIT:
            newline = data.rfind(b"\n", position, position + SPLIT)
            if newline >= 0:
                position = newline + 1
                continue
            if position > start:
                runs.append(data[start:position])
            runs.append(data[position : position + SPLIT])
            start = position = position + SPLIT
        newline = data.rfind(b"\n", position)
        end = newline + 1 if newline >= 0 else position
        if end > start:
            runs.append(data[start:end])
        self._rest = data[end:]
        return runs

    def finish(self) -> list[bytes]:
        """The unfinished last line, if there is one."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class JsonLog:
    """Writer of `<id>-json.log`. What cannot be written (a full disk) is dropped, as Docker does."""

    def __init__(self, file: RotatingFile, extra: bytes = b"") -> None:
        """`extra` is the JSON object of attributes, or empty."""
        self.file = file
        self._middle = b',"attrs":' + extra if extra else b""

    def write(self, stream: bytes, runs: list[bytes], now_ns: int) -> None:
        """Append the records of `runs` (see LineSplitter), all with one time."""
        tail = b'","stream":"' + stream + b'"' + self._middle + b',"time":"' + timestamp(now_ns).encode() + b'"}\n'
        for run in runs:
            self.file.append(_records(run, tail), now_ns, _cut)


def mend(path: str) -> None:
    """Cut off a last record that is torn (a crash of the machine, a monitor that was killed): the next one would be
    glued to it, and no reader would find either."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        size = position = os.fstat(fd).st_size
        newline = -1
        while position and newline < 0:
            length = min(_STEP, position)
            position -= length
            newline = os.pread(fd, length, position).rfind(b"\n")
        whole = position + newline + 1
        if whole < size:
            os.ftruncate(fd, whole)
    finally:
        os.close(fd)


def _cut(records: bytes, room: int) -> int:
    """The end of the first record that ends at or after `room`."""
    return records.index(b"\n", max(0, room - 1)) + 1


def _records(run: bytes, tail: bytes) -> bytes:
    """The records of a run: complete lines, or one piece without its newline."""
    complete = run.endswith(b"\n")
    body = run[:-1] if complete else run
    if body.translate(None, _SAFE):
        body = escape(body)
    return b'{"log":"' + body.replace(b"\n", b"\\n" + tail + b'{"log":"') + (b"\\n" if complete else b"") + tail
