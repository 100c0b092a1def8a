"""One client connection, served by one thread: blocking reads and writes, one request after the other.

    waiting (for a head) -> serving -> waiting | closed

A thread and not a coroutine, because the work is copying: `recv_into`, hashing, `pwrite` and `send` all release the
interpreter's lock, and none of them crosses a loop. A connection that waits for a head may be cut at any time by the
listener, to make room for another (`idle_since`): slow or idle clients never keep others out.

Every wait is bounded: the head by `HEAD_SECONDS` in all, each read and write by `IO_SECONDS`, a body by a minimum rate.
"""

import contextlib
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol

from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import (
    MAX_HEAD_BYTES,
    BadRequest,
    FilePart,
    Head,
    Relay,
    Response,
    body_length,
    parse_head,
    response_head,
)

PIECE = 256 << 10
"""Bytes read or, over TLS, written at a time: the memory of a connection."""
SENDFILE = 16 << 20
"""Bytes of a file that one call sends: few calls, so that a client on a busy machine seldom waits for us to run."""
HEAD_SECONDS = 30.0
IO_SECONDS = 60.0
MIN_RATE = 1024
"""Bytes a second that a body must bring on average, after its first minute."""
MAX_LINGER = 16 << 20
"""Bytes of an unread body that are thrown away before the connection is closed."""
LINGER_SECONDS = 2.0
MAX_CHUNK_LINE = 4096


class Serve(Protocol):
    """Answers a request; never raises but for a client that is gone (ConnectionError)."""

    def __call__(self, head: Head, body: "SocketBody", connection: "Connection", /) -> Response: ...


class Connection:
    """A connected socket with what was read ahead of it."""

    def __init__(self, sock: socket.socket, client: str, serve: Serve) -> None:
        self.socket = sock
        self.client = client
        self.scheme = "https" if isinstance(sock, ssl.SSLSocket) else "http"
        self.idle_since: float | None = time.monotonic()
        self.stopping = False
        self._serve = serve
        self._ahead = bytearray()
        self._big: memoryview | None = None

    def run(self) -> None:
        """Serve until the client is done, misbehaves or is cut; closes the socket."""
        try:
            _bound_waits(self.socket)
            if isinstance(self.socket, ssl.SSLSocket):
                self.socket.do_handshake()
            while self._one():
                pass
        except (OSError, ssl.SSLError):
            pass
        finally:
            with contextlib.suppress(OSError):
                self.socket.close()

    def cut(self) -> None:
        """End the connection from another thread: its next read or write fails."""
        self.stopping = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    @property
    def _piece(self) -> memoryview:
        """A buffer while a body is copied: connections that wait have none, so hundreds of them cost little."""
        if self._big is None:
            self._big = memoryview(bytearray(PIECE))
        return self._big

    # Reading.

    def receive(self, most: int) -> memoryview:
        """Some bytes, at most `most`, valid until the next call; raises ConnectionError at the end of the stream."""
        piece = self._piece
        if self._ahead:
            size = min(most, len(self._ahead), PIECE)
            piece[:size] = self._ahead[:size]
            del self._ahead[:size]
            return piece[:size]
        try:
            size = self.socket.recv_into(piece, min(most, PIECE))
        except (BlockingIOError, ssl.SSLWantReadError):
            raise ConnectionError("the client sent nothing for too long") from None
        if not size:
            raise ConnectionError("the client closed the connection")
        return piece[:size]

    def line(self) -> bytes:
        """A line of chunked framing without its end; raises BadRequest when it is too long."""
        while (end := self._ahead.find(b"\n")) < 0:
            if len(self._ahead) > MAX_CHUNK_LINE:
                raise BadRequest("chunk line too long")
            piece = self._piece
            size = self.socket.recv_into(piece, PIECE)
            if not size:
                raise ConnectionError("the client closed the connection")
            self._ahead += piece[:size]
        found = bytes(self._ahead[:end]).removesuffix(b"\r")
        del self._ahead[: end + 1]
        return found

    def _head(self) -> Head | None:
        """The next head, None when the client is done or too slow; raises BadRequest."""
        deadline = time.monotonic() + HEAD_SECONDS
        while True:
            while self._ahead[:2] == b"\r\n":
                del self._ahead[:2]
            if self._ahead and not 65 <= self._ahead[0] <= 90:
                # Clients try TLS first where both are allowed: they must hear at once that this is none.
                raise BadRequest("malformed request line")
            end = self._ahead.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self._ahead) > MAX_HEAD_BYTES:
                raise BadRequest("request header too large", 431)
            if time.monotonic() > deadline:
                return None
            try:
                data = self.socket.recv(16384)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            if not data:
                return None
            self._ahead += data
        if end > MAX_HEAD_BYTES:
            raise BadRequest("request header too large", 431)
        head = bytes(self._ahead[:end])
        del self._ahead[: end + 4]
        return parse_head(head)

    # One exchange.

    def _one(self) -> bool:
        """Serve one request; whether another may follow."""
        self.idle_since = time.monotonic()
        self._big = None
        if self.stopping:
            return False
        try:
            head = self._head()
            if head is None:
                return False
            self.idle_since = None
            body = SocketBody(self, body_length(head.headers), _expects(head))
            response = self._serve(head, body, self)
        except BadRequest as error:
            refusal = RegistryError("REQUEST_INVALID", str(error), status=error.status)
            self._send_head(Response(refusal.status, refusal.body()), len(refusal.body()), False)
            self._send(refusal.body())
            self._linger()
            return False
        keep = head.keep and body.settle() and not self.stopping
        self._answer(head, response, keep)
        if not keep and not body.done:
            self._linger()
        return keep

    def _answer(self, head: Head, response: Response, keep: bool) -> None:
        body = response.body
        try:
            if head.method == "HEAD":
                self._send_head(response, response.length, keep)
            elif isinstance(body, bytes):
                self._send_head(response, len(body), keep, body)
            elif isinstance(body, FilePart):
                self._send_head(response, body.length, keep, more=body.length > 0)
                self._send_file(body)
            else:
                self._send_head(response, body.length, keep)
                for chunk in body.chunks:
                    self._send(chunk)
        except (BlockingIOError, ssl.SSLWantWriteError):
            raise ConnectionError("the client read nothing for too long") from None
        finally:
            if isinstance(body, FilePart):
                body.file.close()
            elif isinstance(body, Relay) and (close := getattr(body.chunks, "close", None)):
                close()

    def _send_head(self, response: Response, length: int, keep: bool, body: bytes = b"", more: bool = False) -> None:
        headers = {"Date": formatdate(usegmt=True), "Docker-Distribution-Api-Version": "registry/2.0"}
        if response.status not in (204, 304):
            headers["Content-Length"] = str(length)
            if length and "Content-Type" not in response.headers:
                headers["Content-Type"] = "application/json; charset=utf-8"
        headers.update(response.headers)
        if not keep:
            headers["Connection"] = "close"
        data = response_head(response.status, headers)
        if body and response.status not in (204, 304):
            data += body
        self._send(data, socket.MSG_MORE if more and self.scheme == "http" else 0)

    def _send(self, data: bytes | memoryview, flags: int = 0) -> None:
        if flags:
            self.socket.sendall(data, flags)
        else:
            self.socket.sendall(data)

    def _send_file(self, part: FilePart) -> None:
        """By the kernel alone (sendfile(2)); through the buffer where TLS must see the bytes."""
        offset, end, source = part.offset, part.offset + part.length, part.file.fileno()
        while offset < end:
            if self.scheme == "http":
                size = os.sendfile(self.socket.fileno(), source, offset, min(SENDFILE, end - offset))
            else:
                piece = self._piece
                size = os.preadv(source, [piece[: min(PIECE, end - offset)]], offset)
                self._send(piece[:size])
            if not size:
                raise ConnectionError("the file has become shorter")
            offset += size

    def send_continue(self) -> None:
        """Tell a waiting client that its body is wanted."""
        self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _linger(self) -> None:
        """Read on for a moment without keeping anything: closing with unread bytes would reset the answer away."""
        self.idle_since = time.monotonic()
        with contextlib.suppress(OSError, ssl.SSLError, ConnectionError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
            deadline, left = time.monotonic() + LINGER_SECONDS, MAX_LINGER
            _set_timeout(self.socket, LINGER_SECONDS)
            while left > 0 and time.monotonic() < deadline:
                left -= len(self.receive(PIECE))


class SocketBody:
    """The payload of the request at hand, by length or chunked (RFC 9112, section 7.1)."""

    def __init__(self, connection: Connection, length: int | None, expects: bool) -> None:
        self.length = length
        self.done = length == 0
        self._connection = connection
        self._left = length or 0
        self._expects = expects
        self.received = 0
        self._begun = 0.0

    def pump(self, sink: Callable[[memoryview], None]) -> int:
        """Give every piece to `sink`; the number of bytes. Raises ConnectionError when the client goes away."""
        if self.done:
            return 0
        self._begin()
        if self.length is None:
            while self._next_chunk():
                self._pump_left(sink)
                if self._connection.line():
                    raise BadRequest("chunk does not end with CRLF")
        else:
            self._pump_left(sink)
        self.done = True
        return self.received

    def read(self, limit: int) -> bytes:
        """The whole payload; raises RegistryError (413) above `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise RegistryError("SIZE_INVALID", f"request body exceeds the limit of {limit} bytes", status=413)
        parts = bytearray()

        def take(piece: memoryview) -> None:
            if len(parts) + len(piece) > limit:
                raise RegistryError("SIZE_INVALID", f"request body exceeds the limit of {limit} bytes", status=413)
            parts.extend(piece)

        self.pump(take)
        return bytes(parts)

    def settle(self) -> bool:
        """Whether the connection is at the end of this body; a little that nobody read is thrown away."""
        if not self.done and not self._expects and self.length is not None and self._left <= PIECE:
            with contextlib.suppress(ConnectionError):
                self.pump(lambda piece: None)
        return self.done

    def _begin(self) -> None:
        self._begun = self._begun or time.monotonic()
        if self._expects:
            self._expects = False
            self._connection.send_continue()

    def _pump_left(self, sink: Callable[[memoryview], None]) -> None:
        receive = self._connection.receive
        while self._left:
            piece = receive(self._left)
            self._left -= len(piece)
            self.received += len(piece)
            sink(piece)
            elapsed = time.monotonic() - self._begun
            if elapsed > IO_SECONDS and self.received < MIN_RATE * elapsed:
                raise ConnectionError("the client sends too slowly")

    def _next_chunk(self) -> bool:
        digits = self._connection.line().split(b";", 1)[0].strip()
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadRequest("invalid chunk size")
        self._left = int(digits, 16)
        if self._left:
            return True
        trailer = 0
        while line := self._connection.line():
            trailer += len(line)
            if trailer > MAX_CHUNK_LINE:
                raise BadRequest("trailer too long")
        return False


def _expects(head: Head) -> bool:
    return head.headers.get("expect", "").lower() == "100-continue"


def _bound_waits(sock: socket.socket) -> None:
    """Blocking calls that end: the kernel's own time-outs cost no poll(2) a read or write."""
    sock.setblocking(True)
    _set_timeout(sock, IO_SECONDS)
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _set_timeout(sock: socket.socket, seconds: float) -> None:
    value = struct.pack("ll", int(seconds), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
