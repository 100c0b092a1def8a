"""Relay of TCP connections from a published IPv6 address to a container.

Each direction has one chunk in flight: nothing is read before the last chunk is written (back-pressure), the end
of one direction is passed on as a half-close, an error on either side resets the other.
"""

import errno
import os
import socket
import struct

from wharf.network.netd.loop import ERROR, HANGUP, READ, WRITE, Loop

_CHUNK = 64 * 1024
_BACKLOG = 4096
_PAUSE = 0.1
"""Seconds without accepting after the limit of connections or descriptors is hit; the kernel queues meanwhile."""
_RESET = struct.pack("ii", 1, 0)


class Budget:
    """How many connections may be open at once, over all ports."""

    def __init__(self, limit: int) -> None:
        self.left = limit


class TcpListener:
    """Listens on one published socket."""

    def __init__(self, loop: Loop, sock: socket.socket, target: tuple[str, int], budget: Budget) -> None:
        self._loop, self._socket, self._target, self._budget = loop, sock, target, budget
        self._open = True
        sock.setblocking(False)
        # Accepted connections inherit it: left over in TIME_WAIT they must not keep the port from its next owner.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.listen(_BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop listening at once, though the monitor holds a copy of the socket. Connections made go on."""
        self._open = False
        self._loop.unwatch(self._socket.fileno())
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def lead(self, address: str) -> None:
        """Lead new connections to the same port of another address."""
        self._target = (address, self._target[1])

    def _resume(self) -> None:
        if self._open:
            self._loop.watch(self._socket.fileno(), READ, self._ready)

    def _ready(self, _: int) -> None:
        if self._budget.left <= 0:
            self._rest()
            return
        try:
            client, _peer = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                self._rest()
            return
        try:
            Connection(self._loop, client, self._target, self._budget)
        except OSError:
            client.close()

    def _rest(self) -> None:
        self._loop.unwatch(self._socket.fileno())
        self._loop.later(_PAUSE, self._resume)


class _Half:
    """One direction: what was read from `source` and not yet written to `sink`."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source, self.sink = source, sink
        self.pending: memoryview | bytes = b""
        self.ended = self.finished = False

    def read(self) -> None:
        data = self.source.recv(_CHUNK)
        if data:
            self.pending = memoryview(data)
        else:
            self.ended = True

    def write(self) -> None:
        if self.pending:
            try:
                self.pending = self.pending[self.sink.send(self.pending) :]
            except BlockingIOError:
                return
        if self.ended and not self.pending and not self.finished:
            self.finished = True
            self.sink.shutdown(socket.SHUT_WR)

    @property
    def wants_read(self) -> bool:
        return not self.ended and not self.pending


class Connection:
    """A client, a connection to the container, and what flows between."""

    def __init__(self, loop: Loop, client: socket.socket, target: tuple[str, int], budget: Budget) -> None:
        self._loop, self._client, self._budget = loop, client, budget
        client.setblocking(False)
        self._server = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_STREAM)
        self._server.setblocking(False)
        self._out, self._back = _Half(client, self._server), _Half(self._server, client)
        budget.left -= 1
        if self._server.connect_ex(target) in (0, errno.EINPROGRESS):
            loop.watch(self._server.fileno(), WRITE, self._connected)
        else:
            self._reset()

    def _connected(self, _: int) -> None:
        if self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._reset()
            return
        for sock in (self._client, self._server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.unwatch(self._server.fileno())
        self._settle()

    def _client_ready(self, events: int) -> None:
        self._move(self._out, self._back, events)

    def _server_ready(self, events: int) -> None:
        self._move(self._back, self._out, events)

    def _move(self, reading: _Half, writing: _Half, events: int) -> None:
        """`reading` has the ready socket as its source, `writing` as its sink."""
        try:
            if events & ERROR:
                raise OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            if events & (READ | HANGUP) and reading.wants_read:
                reading.read()
                reading.write()
            if events & WRITE:
                writing.write()
        except BlockingIOError:
            pass
        except OSError:
            self._reset()
            return
        self._settle()

    def _settle(self) -> None:
        if self._out.finished and self._back.finished:
            self._close()
            return
        for sock, reading, writing, handler in (
            (self._client, self._out, self._back, self._client_ready),
            (self._server, self._back, self._out, self._server_ready),
        ):
            mask = (READ if reading.wants_read else 0) | (WRITE if writing.pending else 0)
            self._loop.watch(sock.fileno(), mask, handler)

    def _reset(self) -> None:
        for sock in (self._client, self._server):
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
        self._close()

    def _close(self) -> None:
        self._budget.left += 1
        for sock in (self._client, self._server):
            self._loop.unwatch(sock.fileno())
            sock.close()
