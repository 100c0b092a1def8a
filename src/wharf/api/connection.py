"""One client connection: HTTP/1.1 framing on an asyncio transport, one request at a time, then maybe a hijack.

The head is parsed by httptools; the body is cut by `body.Decoder`, because a hijack must know exactly which bytes
came behind the request (httptools does not tell). States of a connection:

    idle -> head -> (body feeding while the handler runs) -> answered -> idle | closing | hijacked

A client that closes its side while its request is served ends a streamed answer, as Go's server does; after a
hijack the same means "end of stdin" and is the new protocol's business.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, cast

import httptools

from wharf.api.body import BadFraming, Body, Decoder, body_length
from wharf.api.http import MAX_HEAD_BYTES, Answer, Hijack, Reply, Request, Stream, date_of, head
from wharf.errors import WharfError

Handle = Callable[[Request, str], Awaitable[Answer]]
"""Answers a request given its raw target; never raises (errors are answers already)."""

MAX_AHEAD = 256 << 10
"""Bytes kept of requests sent before the answer to the one at hand (pipelining)."""
MAX_LINGER = 64 << 20
"""Bytes of an unread body that are thrown away before the connection is closed."""
LINGER_SECONDS = 5.0
MAX_REST = 256 << 10
"""Bytes of an unread body that are awaited before an answer goes out, as Go's server does: what a client says while it
sends comes before what the daemon says, and it does not send into an answer."""
SMALL_PIECE = 8 << 10
"""Bytes. Clients send a build's context in pieces of some hundred bytes; what reads each at once does nothing else."""
GATHER_SECONDS = 0.001
"""How long a socket that gave a small piece of a body is left alone, so that the next one is larger."""
HEAD_SECONDS = 120.0
"""Time a client has to send a head; Docker's ReadHeaderTimeout is five minutes."""

log = logging.getLogger("wharf.api")


class Head:
    """Callbacks of httptools for one head."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.complete = False

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; repeated ones are joined with a comma."""
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.complete = True


class Connection(asyncio.Protocol):
    """Serves requests one after the other; made per accepted socket."""

    def __init__(self, handle: Handle, common: Mapping[str, str], open_connections: "set[Connection]") -> None:
        """`common` are headers of every answer; the set knows all open connections, for a clean stop."""
        self._handle = handle
        self._common = common
        self._open = open_connections
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._buffer = bytearray()
        self._body: Body | None = None
        self._decoder: Decoder | None = None
        self._task: asyncio.Task[None] | None = None
        self._streaming = False
        self._eof = False
        self._keep = True
        self._http10 = False
        self._can_write = asyncio.Event()
        self._can_write.set()
        self._lingering: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        self._stopping = False

    # Protocol callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=1 << 20, low=256 << 10)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: whatever is served for it is cancelled."""
        self._open.discard(self)
        self._can_write.set()
        self._stop_timer()
        if self._body is not None:
            self._body.abort()
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._can_write.set()

    def eof_received(self) -> bool:
        """The client closed its side. True keeps ours open until the answer is out."""
        self._eof = True
        if self._decoder is not None and not self._decoder.done and self._body is not None:
            self._body.abort()
        if self._task is None:
            return False
        if self._streaming:
            self._task.cancel()
        return True

    def data_received(self, data: bytes) -> None:
        """Bytes from the client: body of the request at hand, or the next head."""
        if self._lingering is not None:
            self._lingering += len(data)
            if self._lingering > MAX_LINGER:
                self._transport.abort()
            return
        try:
            if self._decoder is not None and not self._decoder.done:
                data = self._feed_body(data)
                if not data:
                    return
            self._buffer += data
            if self._task is None:
                self._next_request()
            elif len(self._buffer) > MAX_AHEAD:
                self._transport.pause_reading()
        except BadFraming as error:
            self._refuse(400, str(error))

    def stop(self) -> None:
        """Close when idle, else after the answer at hand (streams are cancelled)."""
        self._stopping = True
        self._keep = False
        if self._task is None:
            self._transport.close()
        elif self._streaming:
            self._task.cancel()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # Requests.

    def _feed_body(self, data: bytes) -> bytes:
        assert self._decoder is not None and self._body is not None
        parts, rest = self._decoder.feed(data)
        self._body.feed(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._decoder.done:
            self._body.finish()
        elif len(data) < SMALL_PIECE and self._body.asked and self._gathering is None and not self._body.paused:
            self._transport.pause_reading()
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._flow, True)
        return rest

    def _next_request(self) -> None:
        while self._buffer[:2] == b"\r\n":
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._refuse(431, "request header too large")
            elif self._buffer and self._timer is None:
                self._timer = self._loop.call_later(HEAD_SECONDS, self._transport.close)
            return
        if end > MAX_HEAD_BYTES:
            self._refuse(431, "request header too large")
            return
        self._stop_timer()
        raw = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        try:
            self._begin(raw)
        except (httptools.HttpParserError, ValueError) as error:
            self._refuse(400, f"malformed request: {error}")

    def _begin(self, raw: bytes) -> None:
        found = Head()
        parser = httptools.HttpRequestParser(found)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(raw)
        if not found.complete:
            raise ValueError("incomplete head")
        if parser.get_http_version() not in ("1.0", "1.1"):
            raise ValueError("unsupported protocol version")
        self._http10 = parser.get_http_version() == "1.0"
        connection = found.headers.get("connection", "").lower()
        self._keep = not self._stopping and "close" not in connection and not self._http10
        self._decoder = Decoder(body_length(found.headers))
        wanted = self._continue if found.headers.get("expect", "").lower() == "100-continue" else lambda: None
        self._body = Body(self._loop, wanted, self._flow)
        if self._decoder.done:
            self._body.finish()
        elif self._buffer:
            rest = self._feed_body(bytes(self._buffer))
            self._buffer[:] = rest
        target = found.url.decode("latin-1")
        path, _, query = target.partition("?")
        request = Request(parser.get_method().decode("latin-1"), path, {}, found.headers, self._body)
        self._task = self._loop.create_task(self._serve(request, query))

    def _continue(self) -> None:
        if self._decoder is not None and not self._decoder.done and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _flow(self, go: bool) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        if self._transport.is_closing():
            return
        with contextlib.suppress(RuntimeError):
            if go:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    async def _serve(self, request: Request, query: str) -> None:
        try:
            answer = await self._handle(request, query)
            if isinstance(answer, Hijack):
                self._hijack(request, answer)
                return
            if isinstance(answer, Reply):
                await self._take_rest(request)
                self._send_reply(request, answer)
            else:
                await self._send_stream(request, answer)
        except asyncio.CancelledError:
            self._transport.close()
            return
        except Exception:
            log.exception("while answering %s %s", request.method, request.path)
            self._transport.abort()
            return
        self._finished()

    async def _take_rest(self, request: Request) -> None:
        """Read a short body that nobody has read to its end."""
        body, decoder = self._body, self._decoder
        if body is None or decoder is None or decoder.done or self._eof or decoder.known_left > MAX_REST:
            return
        if "expect" in request.headers and not body.asked:
            return
        with contextlib.suppress(WharfError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await body.discard(MAX_REST)

    def _finished(self) -> None:
        self._task = None
        self._streaming = False
        unread = self._decoder is not None and not self._decoder.done
        if unread and not self._eof:
            self._linger()
        elif not self._keep or self._eof or self._stopping:
            self._transport.close()
        else:
            self._body = self._decoder = None
            self._flow(True)
            if self._buffer:
                self._loop.call_soon(self._resume_pipeline)

    def _resume_pipeline(self) -> None:
        if self._task is None and not self._transport.is_closing():
            self._next_request()

    def _linger(self) -> None:
        """Read on without keeping anything: closing with unread bytes would reset the answer away."""
        if self._body is not None:
            self._body.abort()
        self._lingering = 0
        self._flow(True)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._timer = self._loop.call_later(LINGER_SECONDS, self._transport.close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, message: str) -> None:
        """A request that cannot be parsed: answer and close."""
        text = message.encode("utf-8", "replace")
        headers = {**self._common, "Content-Type": "text/plain; charset=utf-8", "Connection": "close"}
        headers["Content-Length"] = str(len(text))
        if self._task is None:
            self._transport.write(head(status, headers) + text)
        self._transport.close()

    # Answers.

    def _headers(self, content_type: str, extra: Mapping[str, str]) -> dict[str, Any]:
        headers: dict[str, Any] = {**self._common, "Date": date_of(int(time.time()))}
        if content_type:
            headers["Content-Type"] = content_type
        headers.update(extra)
        if not self._keep or (self._decoder is not None and not self._decoder.done):
            headers["Connection"] = "close"
        return headers

    def _send_reply(self, request: Request, reply: Reply) -> None:
        bodyless = reply.status in (204, 304)
        headers = self._headers("" if bodyless else reply.content_type, reply.headers)
        if not bodyless:
            headers["Content-Length"] = len(reply.body)
        data = head(reply.status, headers)
        self._transport.write(data if bodyless or request.method == "HEAD" else data + reply.body)

    async def _send_stream(self, request: Request, stream: Stream) -> None:
        self._streaming = True
        if self._eof:
            raise asyncio.CancelledError
        headers = self._headers(stream.content_type, stream.headers)
        if self._http10:
            self._keep = False
        else:
            headers["Transfer-Encoding"] = "chunked"
        first = head(stream.status, headers)
        if stream.at_once:
            self._transport.write(first)
            first = b""
        async with _closing(stream.chunks) as chunks:
            async for chunk in chunks:
                if first:
                    self._transport.write(first)
                    first = b""
                if chunk and request.method != "HEAD":
                    self._write_chunk(chunk)
                if not self._can_write.is_set():
                    await self._can_write.wait()
                if self._transport.is_closing():
                    return
        self._transport.write(first if self._http10 else first + b"0\r\n\r\n")

    def _write_chunk(self, chunk: bytes) -> None:
        if self._http10:
            self._transport.write(chunk)
        elif len(chunk) < 16384:
            self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))

    def _hijack(self, request: Request, answer: Hijack) -> None:
        if self._transport.is_closing():
            answer.cancel()
            return
        headers: dict[str, Any] = {"Content-Type": answer.content_type}
        if request.upgrades:
            headers |= {"Connection": "Upgrade", "Upgrade": request.headers["upgrade"].split(",")[0].strip()}
        headers |= {**answer.headers, **self._common}
        self._transport.write(head(101 if request.upgrades else 200, headers))
        early = bytes(self._buffer)
        self._buffer.clear()
        self._open.discard(self)
        self._stop_timer()
        self._flow(True)
        self._transport.set_protocol(answer.take(self._transport, early, self._eof))


@contextlib.asynccontextmanager
async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """Closes an async generator in the task that iterates over it, so that its `finally` runs at once."""
    try:
        yield chunks
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
