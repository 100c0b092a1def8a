"""The body of a request: decoded from its framing, queued within a bound, read by coroutines or by threads.

The connection feeds bytes on the loop and stops reading from its socket when more than `HIGH_WATER` bytes wait;
a reader, on the loop or in a thread, lets it go on. So the memory of an upload is flat whatever its size.
"""

import asyncio
import io
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from wharf.errors import Invalid

HIGH_WATER = 1 << 20
LOW_WATER = 256 << 10
MAX_CHUNK_LINE = 4096
MAX_TRAILER_BYTES = 16 << 10
_SIZE = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,7})\r\n")


class BadFraming(Exception):
    """The bytes are not HTTP; the connection cannot go on."""


def body_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body, None when chunked (RFC 9112, section 6.3); raises ValueError for what cannot be framed."""
    coding = headers.get("transfer-encoding", "").strip().lower()
    length = headers.get("content-length", "").strip()
    if coding:
        if coding != "chunked" or length:
            raise ValueError("unsupported transfer encoding")
        return None
    if not length:
        return 0
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        raise ValueError("invalid Content-Length")
    return int(length)


class Decoder:
    """Cuts one body out of the bytes of a connection: by length, or chunked (RFC 9112, section 7.1)."""

    def __init__(self, length: int | None) -> None:
        """`length` None means chunked."""
        self._left = length or 0
        self._chunked = length is None
        self._state = "size" if length is None else "data"
        self._line = b""
        self._trailer = 0
        self.done = length == 0

    @property
    def known_left(self) -> int:
        """Bytes still to come, 0 where the framing does not tell."""
        return 0 if self._chunked else self._left

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Returns the payload found and the bytes behind the body; raises BadFraming."""
        if self.done:
            return [], data
        if not self._chunked:
            part, rest = data[: self._left], data[self._left :]
            self._left -= len(part)
            self.done = self._left == 0
            return [part], rest
        return self._feed_chunked(data)

    def _feed_chunked(self, data: bytes) -> tuple[list[bytes], bytes]:
        out: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._state == "size" and not self._line:
                at = _whole_chunks(data, at, out)
                if at == len(data):
                    break
            if self._state == "data":
                part = data[at : at + self._left]
                at += len(part)
                self._left -= len(part)
                out.append(part)
                if self._left == 0:
                    self._state = "crlf"
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._line += data[at:]
                at = len(data)
                if len(self._line) > MAX_CHUNK_LINE:
                    raise BadFraming("chunk line too long")
                break
            line = (self._line + data[at:end]).removesuffix(b"\r")
            self._line, at = b"", end + 1
            self._take_line(line)
        return out, data[at:]

    def _take_line(self, line: bytes) -> None:
        if len(line) > MAX_CHUNK_LINE:
            raise BadFraming("chunk line too long")
        if self._state == "crlf":
            if line:
                raise BadFraming("chunk does not end with CRLF")
            self._state = "size"
        elif self._state == "size":
            digits = line.split(b";", 1)[0].strip()
            if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
                raise BadFraming("invalid chunk size")
            self._left = int(digits, 16)
            self._state = "data" if self._left else "trailer"
        elif not line:
            self.done = True
        else:
            self._trailer += len(line)
            if self._trailer > MAX_TRAILER_BYTES:
                raise BadFraming("trailer too long")


def _whole_chunks(data: bytes, at: int, out: list[bytes]) -> int:
    """Take the chunks that are plain and whole, as most are; where the first that is not begins."""
    while (match := _SIZE.match(data, at)) is not None:
        begin = match.end()
        end = begin + int(match[1], 16)
        if data[end : end + 2] != b"\r\n":
            break
        out.append(data[begin:end])
        at = end + 2
    return at


class Body:
    """The queue between a connection and the reader of a body. One reader only, on the loop or in a thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        wanted: Callable[[], Any] = lambda: None,
        flow: Callable[[bool], Any] = lambda go: None,
    ) -> None:
        """`wanted` is called on the loop at the first read (100-continue), `flow(go)` stops or continues the feed."""
        self._loop = loop
        self._wanted = wanted
        self._flow = flow
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._asked = False
        self._ready = asyncio.Event()
        self._changed = threading.Condition()
        self.complete = False
        self.broken = False

    # The connection's side, on the loop.

    def feed(self, data: bytes) -> None:
        """Queue payload."""
        if not data or self.broken:
            return
        with self._changed:
            self._chunks.append(data)
            self._size += len(data)
            pause = self._size > HIGH_WATER and not self._paused
            self._paused = self._paused or pause
            self._changed.notify()
        self._ready.set()
        if pause:
            self._flow(False)

    def finish(self) -> None:
        """The whole body is queued."""
        with self._changed:
            self.complete = True
            self._changed.notify()
        self._ready.set()

    def abort(self) -> None:
        """The client went away before the end: readers get an error."""
        with self._changed:
            if not self.complete:
                self.broken = True
            self._changed.notify()
        self._ready.set()

    # The reader's side.

    @property
    def paused(self) -> bool:
        """Whether enough waits for the reader."""
        return self._paused

    @property
    def asked(self) -> bool:
        """Whether somebody has begun to read."""
        return self._asked

    async def discard(self, limit: int) -> None:
        """Throw away what comes until the end, or until more than `limit` bytes have; raises Invalid as `chunks`."""
        async for chunk in self.chunks():
            limit -= len(chunk)
            if limit < 0:
                return

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._wanted()

    def _take(self) -> bytes | None:
        """The next chunk (b"" at the end), None when one must wait. The lock is held."""
        if self._chunks:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            if self._paused and self._size <= LOW_WATER:
                self._paused = False
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._flow, True)
            return chunk
        if self.broken:
            raise Invalid("the client closed the connection before the end of the request body")
        return b"" if self.complete else None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The payload as it comes; raises Invalid when the client goes away in the middle."""
        self._ask()
        while True:
            with self._changed:
                chunk = self._take()
                if chunk is None:
                    self._ready.clear()
            if chunk == b"":
                return
            if chunk is None:
                await self._ready.wait()
            else:
                yield chunk

    async def read(self, limit: int) -> bytes:
        """The whole payload; raises Invalid above `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                raise Invalid(f"request body too large: more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def file(self) -> io.BufferedReader:
        """A blocking binary file over the payload for a worker thread; call this on the loop."""
        self._ask()
        return io.BufferedReader(_BodyFile(self), 256 << 10)

    def take_blocking(self) -> bytes:
        """The next chunk in a thread (b"" at the end)."""
        with self._changed:
            while (chunk := self._take()) is None:
                self._changed.wait()
            return chunk


class _BodyFile(io.RawIOBase):
    def __init__(self, body: Body) -> None:
        self._body = body
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._body.take_blocking())
        size = min(len(self._rest), len(buffer))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def empty_body() -> Body:
    """A body of no bytes."""
    body = Body()
    body.finish()
    return body
