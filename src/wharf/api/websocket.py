"""WebSocket (RFC 6455), the server's side, as much of it as attach needs: handshake, frames, ping, close.

Output goes out in binary frames, as Docker's does; text and binary frames of the client are stdin.
"""

import asyncio
import base64
import hashlib
import struct
from typing import Any

from wharf.errors import Invalid

MAX_FRAME = 1 << 20
"""Bytes of one frame of a client's; a larger one ends the connection (1009)."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009


def accept(headers: "dict[str, str]") -> str:
    """Sec-WebSocket-Accept for a request's headers (section 4.2.2); raises Invalid for what is no handshake."""
    key = headers.get("sec-websocket-key", "")
    if headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-version") != "13" or not key:
        raise Invalid("not a websocket handshake: Upgrade: websocket, version 13 and a key are needed")
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def frame(opcode: int, data: bytes) -> bytes:
    """One whole frame without a mask (section 5.2)."""
    size = len(data)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + data


class BadFrame(Exception):
    """What a client must not send; `code` is for the close frame."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Frames:
    """Cuts a client's bytes into frames; `feed` takes pieces cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> "list[tuple[int, bytes]]":
        """The frames that are whole now: opcode and data. Raises BadFrame."""
        self._buffer += data
        out = []
        while (found := self._next()) is not None:
            out.append(found)
        return out

    def _next(self) -> "tuple[int, bytes] | None":
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, size, at = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if buffer[0] & 0x70 or not buffer[1] & 0x80 or opcode not in (CONTINUED, TEXT, BINARY, CLOSE, PING, PONG):
            raise BadFrame(PROTOCOL_ERROR)
        if opcode >= CLOSE and (size > 125 or not buffer[0] & 0x80):
            raise BadFrame(PROTOCOL_ERROR)
        if size >= 126:
            wide = 2 if size == 126 else 8
            if len(buffer) < at + wide:
                return None
            size, at = int.from_bytes(buffer[at : at + wide], "big"), at + wide
        if size > MAX_FRAME:
            raise BadFrame(TOO_BIG)
        if len(buffer) < at + 4 + size:
            return None
        mask, body = buffer[at : at + 4], buffer[at + 4 : at + 4 + size]
        del buffer[: at + 4 + size]
        pad = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        return opcode, (int.from_bytes(body, "big") ^ pad).to_bytes(size, "big")


class FramedTransport(asyncio.Transport):
    """The client's transport as a relay sees it: what it writes goes out in frames."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._closed = False

    def write(self, data: Any) -> None:
        """One frame."""
        if data and not self._closed:
            self._transport.write(frame(BINARY, bytes(data)))

    def answer(self, opcode: int, data: bytes) -> None:
        """A control frame."""
        if not self._closed:
            self._transport.write(frame(opcode, data))

    def finish(self, code: int) -> None:
        """Say goodbye and close, behind what is written already."""
        if not self._closed:
            self._transport.write(frame(CLOSE, code.to_bytes(2, "big")))
            self._closed = True
            self._transport.close()

    def close(self) -> None:
        """The container's end of stream."""
        self.finish(NORMAL)

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        self._transport.abort()

    def can_write_eof(self) -> bool:
        """A websocket has no half-close."""
        return False

    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._closed or self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The client's."""
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        """The client's."""
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The client's."""
        self._transport.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """The client's."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The client's."""
        self._transport.resume_reading()


class WebSocketProtocol(asyncio.Protocol):
    """Takes a client's frames apart for the protocol behind it."""

    def __init__(self, out: FramedTransport, inner: asyncio.Protocol) -> None:
        self._out, self._inner, self._frames = out, inner, Frames()

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        try:
            for opcode, body in self._frames.feed(data):
                self._take(opcode, body)
        except BadFrame as error:
            self._out.finish(error.code)

    def _take(self, opcode: int, body: bytes) -> None:
        if opcode == PING:
            self._out.answer(PONG, body)
        elif opcode == CLOSE:
            self._out.finish(NORMAL)
        elif opcode != PONG:
            self._inner.data_received(body)

    def eof_received(self) -> bool:
        """The client closed without a goodbye."""
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The client caught up."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._inner.connection_lost(exc)
