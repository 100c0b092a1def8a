"""After a hijack: bytes both ways between a client and the stream socket of a monitor.

Neither side's end closes the other too early: the client's end of stream is passed on as end of stdin while output
goes on; the monitor's end of stream closes the client once everything is written.
"""

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import cast

from wharf.api.detach import DetachFilter

READ_SIZE = 256 << 10
log = logging.getLogger("wharf.api")
MAX_WAITING = 1 << 20
"""Bytes of stdin kept for a process that has not started."""
LINGER_SECONDS = 2.0
GONE_CHECK_SECONDS = 5.0
"""After its end of stream a client that went away for good is noticed only by asking poll(2)."""


Ended = Callable[[bool], None]
"""Called when a relay is over, with whether the client left by its detach keys."""


class ClientSide(asyncio.Protocol):
    """Takes over the client's transport; `relay_to` names the socket whose other end is the monitor's."""

    def __init__(self, transport: asyncio.Transport, early: bytes, eof: bool, stdin: DetachFilter | None) -> None:
        """`stdin` finds the detach keys; None passes bytes unseen."""
        self.transport = transport
        self._waiting = early
        self._eof = eof
        self._filter = stdin
        self._monitor: asyncio.Transport | None = None
        self._monitor_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended: Ended = lambda detached: None
        self._detached = False
        self.connecting: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        transport.set_write_buffer_limits(high=4 << 20, low=1 << 20)

    def connect(self, monitor: asyncio.Transport, ended: Ended) -> None:
        """Begin relaying; `ended` is called once when the relay is over."""
        self._monitor = monitor
        self._ended = ended
        if self.transport.is_closing():
            monitor.abort()
            return
        early, self._waiting = self._waiting, b""
        if len(early) > MAX_WAITING:
            self.transport.resume_reading()
        if early:
            self.data_received(early)
        if self._eof:
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        """Bytes for stdin."""
        if self._monitor is None:
            self._waiting += data
            if len(self._waiting) > MAX_WAITING:
                self.transport.pause_reading()
            return
        if self._monitor_closed or self._monitor.is_closing():
            return
        if self._filter is not None:
            data, detached = self._filter.feed(data)
            if data:
                self._monitor.write(data)
            if detached:
                self._detached = True
                self._monitor.close()
                self.transport.close()
            return
        self._monitor.write(data)

    def eof_received(self) -> bool:
        """End of stdin; output goes on."""
        self._eof = True
        if self._monitor_closed:
            return False
        if self._monitor is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._monitor.write_eof()
        self._watch()
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly: let the monitor wait."""
        self.writable.clear()
        if self._monitor is not None and not self._monitor_closed:
            self._monitor.pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writable.set()
        if self._monitor is not None and not self._monitor_closed:
            self._monitor.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.writable.set()
        if self._monitor is None and self.connecting is not None:
            self.connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._monitor is not None and not self._monitor_closed and not self._detached:
            self._monitor.abort()

    def monitor_lost(self) -> None:
        """End the client's stream behind what is written already.

        Closing a socket with unread input resets it and may cost the client its last output: input is read and
        thrown away until the client closes too, for a while.
        """
        self._monitor_closed = True
        self._ended(self._detached)
        if self.transport.is_closing():
            return
        if self._eof or not self.transport.can_write_eof():
            self.transport.close()
            return
        with contextlib.suppress(RuntimeError):
            self.transport.resume_reading()
        self.transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(LINGER_SECONDS, self.transport.close)

    def _watch(self) -> None:
        """Notice a client that closed both directions while nothing is written to it."""
        if self.transport.is_closing():
            return
        poller = select.poll()
        poller.register(self.transport.get_extra_info("socket").fileno(), 0)
        if any(flags & (select.POLLHUP | select.POLLERR) for _, flags in poller.poll(0)):
            self.transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(GONE_CHECK_SECONDS, self._watch)


class MonitorSide(asyncio.BufferedProtocol):
    """Reads the monitor's stream into one buffer and writes it to the client."""

    def __init__(self, client: ClientSide) -> None:
        self._client = client
        self._view = memoryview(bytearray(READ_SIZE))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected to the monitor."""
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=1 << 20)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads to."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Output of the container."""
        self._client.transport.write(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool:
        """No more output."""
        return False

    def pause_writing(self) -> None:
        """The container reads its stdin too slowly: let the client wait."""
        with contextlib.suppress(RuntimeError):
            self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        """The container caught up."""
        with contextlib.suppress(RuntimeError):
            self._client.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The monitor closed its end."""
        self._client.monitor_lost()


@dataclass(slots=True)
class Source:
    """What a client is joined with: a monitor's socket, or a future of it when the process has not started."""

    stream: "socket.socket | Future[socket.socket] | None"
    stdin: DetachFilter | None = None
    ended: Ended = lambda detached: None
    history: Callable[[], AsyncIterator[bytes]] | None = None
    """Earlier output that is sent first."""


def relay(source: Source) -> Callable[[asyncio.Transport, bytes, bool], asyncio.BaseProtocol]:
    """What a `Hijack` takes to join a client with a source, whose socket is closed with it."""

    def take(transport: asyncio.Transport, early: bytes, eof: bool) -> asyncio.BaseProtocol:
        client = ClientSide(transport, early, eof, source.stdin)
        client.connecting = asyncio.get_running_loop().create_task(_connect(client, source))
        return client

    return take


async def _connect(client: ClientSide, source: Source) -> None:
    """Wait for the socket and join the client with it; cancelled when the client leaves before."""
    try:
        if source.history is not None:
            await _send_history(client, source.history())
        stream = source.stream
        if stream is None:
            client.monitor_lost()
            return
        if isinstance(stream, Future):
            stream = await asyncio.wrap_future(stream)
        stream.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(lambda: MonitorSide(client), sock=stream)
    except (Exception, asyncio.CancelledError) as error:
        _abandon(source.stream)
        if not isinstance(error, asyncio.CancelledError):
            log.debug("nothing to attach to: %s", error)
        client.monitor_lost()
        return
    client.connect(transport, source.ended)


async def _send_history(client: ClientSide, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        client.transport.write(chunk)
        await client.writable.wait()


def _abandon(stream: "socket.socket | Future[socket.socket] | None") -> None:
    """Give up a socket that nobody will read, also one that comes later."""
    if isinstance(stream, socket.socket):
        stream.close()
    elif stream is not None and not stream.cancel():
        stream.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().close())


def say(data: bytes) -> Callable[[asyncio.Transport, bytes, bool], asyncio.BaseProtocol]:
    """What a `Hijack` takes to send what there is (an error text, or nothing) and close."""

    def take(transport: asyncio.Transport, early: bytes, eof: bool) -> asyncio.BaseProtocol:
        transport.write(data)
        client = ClientSide(transport, early, eof, None)
        client.monitor_lost()
        return client

    return take
