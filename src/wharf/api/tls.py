"""TLS at the edge, over memory: a client that ends its sending side (close_notify) still gets all that is said to it.

The loop's own TLS closes the whole connection when close_notify comes, as RFC 5246 7.2.1 once asked. RFC 8446 6.1 made
it an end of one direction only, and Docker's clients end stdin so. Here it is `eof_received`, as FIN is without TLS.

    handshake -> open -> (either side's close_notify: half open) -> closed
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

HANDSHAKE_SECONDS = 60.0
"""Time a client has for the handshake; what it may send in it is bounded by OpenSSL."""
READ_SIZE = 16 << 10
"""A record's most, and so the most that one read gives (RFC 8446 5.1)."""
PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""What Go's server answers."""


class TlsSide(asyncio.Protocol):
    """The protocol of an accepted TCP connection: shakes hands, then gives the protocol above a `TlsTransport`."""

    def __init__(self, context: ssl.SSLContext, above: Callable[[], asyncio.Protocol]) -> None:
        """`above` makes the protocol that is told the plain bytes, once the handshake is over."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.tcp: asyncio.Transport = cast(asyncio.Transport, None)
        self.protocol: asyncio.Protocol | None = None
        self.paused = False
        self._above = above
        self._transport = TlsTransport(self)
        self._eof = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came; nobody above hears of it before it has proven who it is."""
        self.tcp = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_SECONDS, self.tcp.abort)

    def data_received(self, data: bytes) -> None:
        """Records of the client."""
        self.incoming.write(data)
        if self.protocol is None:
            self._shake_hands()
        if self.protocol is not None:
            self.read_on()

    def eof_received(self) -> bool:
        """FIN without close_notify, or behind it: the same end of the client's sending side."""
        self.incoming.write_eof()
        if self.protocol is None:
            return False
        self.read_on()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        if self.protocol is not None:
            self.protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        if self.protocol is not None:
            self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client caught up."""
        if self.protocol is not None:
            self.protocol.resume_writing()

    def read_on(self) -> None:
        """Give the protocol above what has come, until it pauses or changes hands with an end."""
        while not self.paused and not self._eof and not self.tcp.is_closing():
            try:
                data = self.session.read(READ_SIZE)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                data = b""
            except ssl.SSLError:
                self.flush()  # the alert that says why
                self.tcp.close()
                return
            if data:
                cast(asyncio.Protocol, self.protocol).data_received(data)
            else:
                self._end_of_input()
        self.flush()  # answers of the protocol itself: keys that change

    def flush(self) -> None:
        """Send the records that are made."""
        if self.outgoing.pending:
            self.tcp.write(self.outgoing.read())

    def _end_of_input(self) -> None:
        self._eof = True
        if not cast(asyncio.Protocol, self.protocol).eof_received():
            self._transport.close()

    def _shake_hands(self) -> None:
        try:
            self.session.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
            return
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                self.outgoing.read()
                self.tcp.write(PLAIN_HTTP)
            self.flush()
            self.tcp.close()
            return
        self.flush()
        self._stop_timer()
        self.protocol = self._above()
        self.protocol.connection_made(self._transport)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TlsTransport(asyncio.Transport):
    """What the protocol above writes to. Its buffer, limits and socket are those of the TCP connection."""

    def __init__(self, side: TlsSide) -> None:
        super().__init__()
        self._side = side
        self._ended = False

    def write(self, data: Any) -> None:
        """Seal and send; dropped when the connection closes, as transports do."""
        if data and not self._ended and not self._side.tcp.is_closing():
            self._side.session.write(data)
            self._side.flush()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """As few records as there can be."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """close_notify is an end of one direction."""
        return True

    def write_eof(self) -> None:
        """Our close_notify and FIN behind what was written; the client may go on sending."""
        if self._say_end():
            self._side.tcp.write_eof()

    def close(self) -> None:
        """Send what is written and our close_notify, then close."""
        self._say_end()
        self._side.tcp.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._side.tcp.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._side.tcp.is_closing()

    def pause_reading(self) -> None:
        """Nothing is told to the protocol above until `resume_reading`."""
        self._side.paused = True
        self._side.tcp.pause_reading()

    def resume_reading(self) -> None:
        """Go on, with what has come already first."""
        if self._side.paused:
            self._side.paused = False
            asyncio.get_running_loop().call_soon(self._side.read_on)
        self._side.tcp.resume_reading()

    def is_reading(self) -> bool:
        """Whether the protocol above is told what comes."""
        return not self._side.paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Bounds of what waits to be sent, in bytes of records."""
        self._side.tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes of records that wait to be sent."""
        return self._side.tcp.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """The TCP connection's, and the session as `ssl_object`."""
        return self._side.session if name == "ssl_object" else self._side.tcp.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Another protocol takes over."""
        self._side.protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol above."""
        return cast(asyncio.Protocol, self._side.protocol)

    def _say_end(self) -> bool:
        """Our close_notify, once; whether it was said now."""
        if self._ended or self._side.tcp.is_closing():
            return False
        self._ended = True
        with contextlib.suppress(ssl.SSLError):  # it asks for the client's close_notify, which need not come
            self._side.session.unwrap()
        self._side.flush()
        return True
