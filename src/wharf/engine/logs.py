"""The log of a container: history, then what is written while somebody follows.

The monitor alone writes; it rings a doorbell (a pipe) that the loop listens to. No thread waits.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.engine.doorbell import Doorbell
from wharf.engine.events import parse_stamp
from wharf.engine.log_options import log_file
from wharf.engine.loop import EngineLoop, Timer, done, resolve
from wharf.engine.times import to_nanoseconds
from wharf.errors import Invalid, NotImplementedYet
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import Form, JsonForm, LocalForm, LogEntry

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running

CHUNK = 256 << 10
"""Bytes that one read gathers."""
FIRST_WORD_SECONDS = 0.1
"""How long after its start a container that has said nothing yet is waited for by a reading that follows nothing.

A start answers once the program is executed, in a tenth of the time that clients know; many ask for the log right
behind it and take what is there for all there is."""
FORMS: dict[str, Form] = {"json": JsonForm(), "local": LocalForm()}
_STREAMS = {"stdout": 1, "stderr": 2}


@dataclass(frozen=True, slots=True)
class LogsRequest:
    """As the query says it: times are Unix seconds with a fraction or "", `tail` a number or `all`."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    details: bool = False
    tail: str = ""


class LogStream:
    """One reading. `read` from one thread at a time; `changed` and `close` from anywhere."""

    def __init__(
        self,
        loop: EngineLoop,
        reader: LogReader,
        request: LogsRequest,
        tty: bool,
        running: Running | None,
        patience: float = 0.0,
    ) -> None:
        """`running`: what writes the log and is followed, if it is; `patience`: only so many seconds, and only until it
        has said something. Raises Internal for a bad time."""
        self.tty = tty
        self.finished = False
        self._request = request
        self._since, self._until = (max(0, parse_stamp(text) or 0) for text in (request.since, request.until))
        self._reader = reader
        self._entries: Iterator[LogEntry] | None = self._reader.history(_tail(request.tail), self._since, self._until)
        self._lock = threading.Lock()
        self._rung = True
        self._ended = running is None
        self._brief = patience > 0
        self._closed = False
        self._waiting: list[Future[None]] = []
        self._timer: Timer | None = None
        self._doorbell: Doorbell | None = None
        if running is not None:
            self._doorbell = Doorbell(loop, running.doorbell(), self._wake, self._end)
            if self._until:
                self._timer = loop.after(max(0.0, (self._until - time.time_ns()) / 1e9), self._end)
            elif patience:
                self._timer = loop.after(patience, self._end)

    def read(self) -> bytes:
        """What is there now, framed unless there is a terminal; b"" for nothing at the moment or `finished`."""
        with self._lock:
            ended, self._rung = self._ended, False
        if self._entries is None:
            self._entries = self._reader.more(self._since, self._until)
        out = bytearray()
        for entry in self._entries:
            number = _STREAMS.get(entry.stream, 1)
            if (number == 1 and self._request.stdout) or (number == 2 and self._request.stderr):
                out += self._format(entry, number)
                if len(out) >= CHUNK:
                    return bytes(out)
        self._entries = None
        if not out and ended:
            self.finished = True
        elif out:
            with self._lock:
                self._rung = True  # look again: what is written meanwhile may have rung before
                self._ended = self._ended or self._brief
        return bytes(out)

    def _format(self, entry: LogEntry, number: int) -> bytes:
        line = entry.line
        if self._request.details:
            line = ",".join(f"{key}={value}" for key, value in sorted(entry.attrs.items())).encode() + b" " + line
        if self._request.timestamps:
            line = entry.time.encode() + b" " + line
        return line if self.tty else struct.pack(">B3xI", number, len(line)) + line

    def changed(self) -> Future[None]:
        """Resolves when `read` may have more, or at the end."""
        with self._lock:
            if self._rung or self._ended or self._closed:
                return done()
            future: Future[None] = Future()
            self._waiting = [item for item in self._waiting if not item.cancelled()] + [future]
            return future

    def _end(self) -> None:
        with self._lock:
            self._ended = True
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            self._rung = True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            resolve(future)

    def close(self) -> None:
        """Let go of file and doorbell."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._doorbell is not None:
            self._doorbell.close()
        self._reader.close()
        self._wake()


def open_logs(engine: Engine, name: str, request: LogsRequest) -> LogStream:
    """Raises NotFound, Invalid, Internal for a bad time, and NotImplementedYet for a container without a log."""
    container = engine.containers.live(name)
    if not request.stdout and not request.stderr:
        raise Invalid("Bad parameters: you must choose at least one stream")
    record = container.record
    found = log_file(record, engine.directory(record.id))
    if found is None:
        raise NotImplementedYet("configured logging driver does not support reading")
    path, form = found
    patience = 0.0 if request.follow or request.until else _patience(container, path)
    followed = container.running if request.follow or patience else None
    return LogStream(engine.loop, LogReader(path, FORMS[form]), request, record.config.tty, followed, patience)


def _patience(container: Container, path: str) -> float:
    """Seconds to wait for the first word of a container that was started just now; 0 for any other."""
    started = to_nanoseconds(container.record.state.started_at)
    if container.running is None or started is None:
        return 0.0
    age = (time.time_ns() - started) / 1e9
    try:
        silent = os.stat(path).st_size == 0
    except FileNotFoundError:
        silent = True
    return FIRST_WORD_SECONDS - age if silent and 0 <= age < FIRST_WORD_SECONDS else 0.0


def _tail(text: str) -> int:
    try:
        return max(-1, int(text))
    except ValueError:
        return -1
