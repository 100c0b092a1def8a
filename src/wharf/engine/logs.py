"""A container's log: what is written, then what comes, until the run ends.

Reading is blocking but bounded; news of more comes through the monitor's doorbell, a pipe that is readable when the
log has grown and ends when it is complete.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from wharf.engine.events import parse_stamp
from wharf.engine.loop import resolve
from wharf.errors import Conflict, Internal, Invalid, NotImplementedYet
from wharf.runtime.logfile import LogEntry, LogReader

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

CHUNK = 128 << 10
"""Bytes that one read gathers, about."""
FRAME = 64 << 10
"""Lines of one stream are joined to frames of at most about this size."""
STREAMS = {"stdout": 1, "stderr": 2}


@dataclass(frozen=True, slots=True)
class LogsRequest:
    """What to read. Times are Unix seconds with an optional fraction, `tail` a number or `all`."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    details: bool = False
    tail: str = "all"


def open_logs(engine: Engine, name: str, request: LogsRequest) -> LogStream:
    """Open a log. Raises NotFound, Conflict (being removed), Invalid, NotImplementedYet (driver without a log)."""
    container = engine.containers.live(name)
    record = container.record
    if record.state.dead or record.state.removal_in_progress:
        raise Conflict("can not get logs from container which is dead or marked for removal")
    if record.host_config.log_config.type == "none":
        raise NotImplementedYet("configured logging driver does not support reading")
    since, until = _stamp(request.since), _stamp(request.until)
    # The bell is asked for before the history is read: nothing can fall between the two.
    running = container.running if request.follow else None
    bell = running.doorbell() if running is not None else -1
    reader = LogReader(record.log_path)
    tail = int(request.tail) if request.tail.isdecimal() and len(request.tail) < 18 else -1
    entries = reader.history(tail, since, until)
    return LogStream(engine, reader, entries, Shape(request, record.config.tty, since, until), bell)


def _stamp(text: str) -> int:
    try:
        return parse_stamp(text) or 0
    except Internal as error:
        raise Invalid(str(error)) from None


@dataclass(frozen=True, slots=True)
class Shape:
    """How entries are chosen and written."""

    request: LogsRequest
    tty: bool
    since: int
    until: int

    def wants(self, stream: str) -> bool:
        """Whether the client asked for that stream; a terminal has one only."""
        return self.request.stderr if stream == "stderr" else self.request.stdout

    def line(self, entry: LogEntry) -> bytes:
        """The entry as text, with its time and details in front when asked for."""
        line = entry.line
        if self.request.details and entry.attrs:
            pairs = (f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(entry.attrs.items()))
            line = ",".join(pairs).encode() + b" " + line
        elif self.request.details:
            line = b" " + line
        if self.request.timestamps:
            line = _fixed(entry.time).encode() + b" " + line
        return line


def _fixed(text: str) -> str:
    """A time with all nine digits of its fraction."""
    base, _, fraction = text.removesuffix("Z").partition(".")
    return f"{base}.{fraction.ljust(9, '0')}Z"


class LogStream:
    """An open log. One reader at a time; `close` may come from any thread."""

    def __init__(self, engine: Engine, reader: LogReader, entries: Iterator[LogEntry], shape: Shape, bell: int) -> None:
        self._engine = engine
        self._reader = reader
        self._entries: Iterator[LogEntry] | None = entries
        self._shape = shape
        self._bell = bell
        self._complete = bell < 0
        self._lock = threading.Lock()
        self._closed = False
        self.tty = shape.tty
        self.finished = False
        """True when a read that gave nothing was the last."""

    def read(self) -> bytes:
        """The next output, framed unless it is a terminal's; b"" when there is none at the moment."""
        with self._lock:
            if self._closed or self.finished:
                self.finished = True
                return b""
            return self._read()

    def _read(self) -> bytes:
        if self._entries is None:
            complete = self._complete or self._drain_bell()
            self._entries = self._reader.more(self._shape.since, self._shape.until)
        else:
            complete = self._complete
        out = self._gather(self._entries)
        if not out:
            self._entries = None
            late = bool(self._shape.until) and time.time_ns() > self._shape.until
            self.finished = complete or late
            self._complete = complete
        return out

    def _gather(self, entries: Iterator[LogEntry]) -> bytes:
        """About CHUNK bytes; adjacent lines of one stream share a frame."""
        shape, out = self._shape, bytearray()
        current, parts, size = "", list[bytes](), 0
        for entry in entries:
            if not shape.wants(entry.stream):
                continue
            line = shape.line(entry)
            if parts and (entry.stream != current or size > FRAME):
                self._flush(out, current, parts)
                size = 0
            current = entry.stream
            parts.append(line)
            size += len(line)
            if len(out) + size > CHUNK:
                break
        if parts:
            self._flush(out, current, parts)
        return bytes(out)

    def _flush(self, out: bytearray, stream: str, parts: list[bytes]) -> None:
        data = b"".join(parts)
        if not self.tty:
            out += bytes((STREAMS.get(stream, 1), 0, 0, 0)) + len(data).to_bytes(4, "big")
        out += data
        parts.clear()

    def _drain_bell(self) -> bool:
        """Silence the bell; True when the log is complete."""
        while True:
            try:
                if not os.read(self._bell, 65536):
                    return True
            except BlockingIOError:
                return False

    def changed(self) -> Future[None]:
        """Resolves when there may be more, the log is complete, or `until` has come."""
        future: Future[None] = Future()
        if self._bell < 0:
            resolve(future)
        else:
            self._engine.loop.call(self._listen, future)
        return future

    def _listen(self, future: Future[None]) -> None:
        """On the loop. The pipe stays readable until it is drained, so nothing is missed."""
        loop = self._engine.loop.loop
        if self._closed:
            resolve(future)
            return
        loop.add_reader(self._bell, self._ring, future)
        if self._shape.until:
            loop.call_later(max(0.0, (self._shape.until - time.time_ns()) / 1e9) + 0.001, self._ring, future)

    def _ring(self, future: Future[None]) -> None:
        if not self._closed:
            self._engine.loop.loop.remove_reader(self._bell)
        resolve(future)

    def close(self) -> None:
        """Let go of files and the bell."""
        self._engine.loop.call(self._close)

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._bell >= 0:
            self._engine.loop.loop.remove_reader(self._bell)
        self._engine.loop.pool.submit(self._release)

    def _release(self) -> None:
        with self._lock:
            self._reader.close()
            if self._bell >= 0:
                os.close(self._bell)
