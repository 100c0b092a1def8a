"""After a hijack: bytes both ways between a client and the stream socket of a monitor.

Neither side's end closes the other too early: the client's end of stream is passed on as end of stdin while output
goes on; the monitor's end of stream closes the client once everything is written.
"""

import asyncio
import contextlib
import fcntl
import logging
import select
import socket
import sys
import termios
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass

from wharf.api.stdin import StdinWriter
from wharf.spec.detach import DetachFilter

READ_SIZE = 256 << 10
log = logging.getLogger("wharf.api")
MAX_WAITING = 1 << 20
"""Bytes of stdin kept for a process that has not started."""
LINGER_SECONDS = 2.0
SETTLE_SECONDS = 5.0
HEAD_SECONDS = 0.25
HEAD_PAUSE = 0.0005
GONE_CHECK_SECONDS = 5.0
"""After its end of stream a client that went away for good is noticed only by asking poll(2)."""


Ended = Callable[[bool], None]
"""Called when a relay is over, with whether the client left by its detach keys."""


@dataclass(slots=True)
class Source:
    """What a client is joined with: a monitor's socket, or a future of it when the process has not started."""

    stream: "socket.socket | Future[socket.socket] | None"
    stdin: DetachFilter | None = None
    """Finds the detach keys; None passes bytes unseen."""
    ended: Ended = lambda detached: None
    history: Callable[[], AsyncIterator[bytes]] | None = None
    """Earlier output that is sent first."""
    settled: "Future[None] | None" = None
    """The client's stream ends after this too: whoever sees its end may ask for the exit code."""


class ClientSide(asyncio.Protocol):
    """Takes over the client's transport: its bytes are stdin, and it is written what the monitor sends."""

    def __init__(self, transport: asyncio.Transport, early: bytes, eof: bool, source: Source) -> None:
        """`early` and `eof`: what the client sent before, and that it has closed its side already."""
        self.transport = transport
        self.writable = asyncio.Event()
        self.writable.set()
        self.connecting: asyncio.Task[None] | None = None
        self._early = early
        self._eof = eof
        self._source = source
        self._output: asyncio.Transport | None = None
        self._stdin: StdinWriter | None = None
        self._over = False
        self._detached = False
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=4 << 20, low=1 << 20)

    def connect(self, output: asyncio.Transport, stdin: StdinWriter) -> None:
        """Begin relaying: `output` is read from, `stdin` written to."""
        self._output, self._stdin = output, stdin
        if self.transport.is_closing():
            self.connection_lost(None)
            return
        early, self._early = self._early, b""
        if len(early) > MAX_WAITING:
            self.flow(True)
        if early:
            self.data_received(early)
        if self._eof:
            self.eof_received()

    def data_received(self, data: bytes) -> None:
        """Bytes for stdin."""
        if self._over:
            return
        if self._stdin is None:
            self._early += data
            if len(self._early) > MAX_WAITING:
                self.flow(False)
            return
        if self._source.stdin is None:
            self._stdin.write(data)
            return
        data, self._detached = self._source.stdin.feed(data)
        self._stdin.write(data)
        if self._detached:
            self.transport.close()

    def eof_received(self) -> bool:
        """End of stdin; output goes on."""
        self._eof = True
        if self._over:
            return False
        if self._stdin is not None:
            self._stdin.end()
        self._watch()
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly: let the monitor wait."""
        self.writable.clear()
        if self._output is not None and not self._over:
            self._output.pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writable.set()
        if self._output is not None and not self._over:
            self._output.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.writable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._output is None and self.connecting is not None:
            self.connecting.cancel()
        if self._stdin is not None:
            self._stdin.close()
        if self._output is not None and not self._over:
            self._output.abort()

    def flow(self, go: bool) -> None:
        """Pause or continue the client's input."""
        with contextlib.suppress(RuntimeError):
            if go:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def output_over(self) -> None:
        """End the client's stream behind what is written already.

        Closing a socket with unread input resets it and may cost the client its last output: input is read and
        thrown away until the client closes too, for a while.
        """
        if self._over:
            return
        self._over = True
        if self._stdin is not None:
            self._stdin.close()
        self._source.ended(self._detached)
        if self._source.settled is None or self.transport.is_closing():
            self._end()
        else:
            self.connecting = asyncio.get_running_loop().create_task(self._end_when_settled(self._source.settled))

    async def _end_when_settled(self, settled: "Future[None]") -> None:
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(settled)), SETTLE_SECONDS)
        self._end()

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        if self._eof or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.flow(True)
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
        self._timer = asyncio.get_running_loop().call_later(GONE_CHECK_SECONDS, self._watch)


class MonitorSide(asyncio.BufferedProtocol):
    """Reads the monitor's stream into one buffer and writes it to the client."""

    def __init__(self, client: ClientSide) -> None:
        self._client = client
        self._view = memoryview(bytearray(READ_SIZE))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads to."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Output of the container."""
        self._client.transport.write(bytes(self._view[:nbytes]))

    def eof_received(self) -> bool:
        """No more output."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The monitor closed its end."""
        self._client.output_over()


def relay(source: Source) -> Callable[[asyncio.Transport, bytes, bool], asyncio.BaseProtocol]:
    """What a `Hijack` takes to join a client with a source, whose socket is closed with it."""

    def take(transport: asyncio.Transport, early: bytes, eof: bool) -> asyncio.BaseProtocol:
        client = ClientSide(transport, early, eof, source)
        client.connecting = asyncio.get_running_loop().create_task(_connect(client, source))
        return client

    return take


async def _connect(client: ClientSide, source: Source) -> None:
    """Wait for the socket and join the client with it; cancelled when the client leaves before."""
    try:
        await _head_taken(client.transport)
        if source.history is not None:
            await _send_history(client, source.history())
        stream = source.stream
        if stream is None:
            client.output_over()
            return
        if isinstance(stream, Future):
            stream = await asyncio.wrap_future(stream)
        stream.setblocking(False)
        stdin = StdinWriter(stream.dup(), client.flow)
        loop = asyncio.get_running_loop()
        output, _ = await loop.create_unix_connection(lambda: MonitorSide(client), sock=stream)
    except (Exception, asyncio.CancelledError) as error:
        _abandon(source.stream)
        if not isinstance(error, asyncio.CancelledError):
            log.debug("nothing to attach to: %s", error)
        client.output_over()
        return
    client.connect(output, stdin)


async def _head_taken(transport: asyncio.Transport) -> None:
    """Wait, for a bounded time, until the client has read the head of the answer before any output follows it.

    Clients that read the head through a buffer (Python's http.client, and with it the Docker SDK) lose what stands
    behind it. On a Unix socket SIOCOUTQ counts what the peer has not read yet (unix(7), ioctl_sockios).
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HEAD_SECONDS
    sock = transport.get_extra_info("socket")
    unread = bytearray(4)
    while not transport.is_closing() and loop.time() < deadline:
        if not transport.get_write_buffer_size():
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, unread)
            if not int.from_bytes(unread, sys.byteorder):
                return
        await asyncio.sleep(HEAD_PAUSE)


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

    async def text() -> AsyncIterator[bytes]:
        yield data

    return relay(Source(None, history=text))
