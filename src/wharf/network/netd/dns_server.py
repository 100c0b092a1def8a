"""The resolver of one sandbox: its sockets on 127.0.0.11 inside, what comes in by them, what goes out.

The sockets have ports of the kernel's choice; a rule inside the namespace leads port 53 of that address there, so a
container may have a name server of its own on 0.0.0.0:53. All sandboxes take turns: a wake-up serves a few questions
of one, then others are looked at.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from ipaddress import IPv4Address

from wharf.kernel.nft_redirect import redirect
from wharf.network.netd import dns_codec as codec
from wharf.network.netd.dns_codec import MAX_MESSAGE, Malformed, Query
from wharf.network.netd.dns_forward import Forwarder, Namespaces, Question
from wharf.network.netd.dns_names import Tables, View, reply
from wharf.network.netd.loop import READ, WRITE, Loop

ADDRESS = "127.0.0.11"
TABLE = "wharf-dns"
"""The nft table inside a sandbox's namespace."""
MAX_QUESTIONS = 256
"""Passed on at once, of one sandbox; more are refused."""
MAX_CONNECTIONS = 64
"""By TCP, of one sandbox; more wait in the backlog."""
IDLE_SECONDS = 10.0
_TURN = 16
"""Datagrams of one sandbox before others get their turn."""
_STREAM_TURN = 512
"""Octets of one connection before others get their turn."""
_MAX_UNSENT = 256 * 1024
_BACKLOG = 128
_IP_FREEBIND = 15


class Shared:
    """What all resolvers of this netd share. `tables` is replaced as a whole."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.namespaces = Namespaces()
        self.forwarder = Forwarder(loop, self.namespaces)
        self.tables = Tables()


class SandboxResolver:
    """See the module. Takes over the descriptor of the network namespace."""

    def __init__(self, shared: Shared, netns: int, view: View) -> None:
        self._shared, self._netns, self.view = shared, netns, view
        self._asking, self._sweeping = 0, False
        self._connections: set[_Connection] = set()
        with contextlib.ExitStack() as undo, shared.namespaces.inside(netns):
            self._udp = undo.enter_context(_bound(socket.SOCK_DGRAM))
            self._tcp = undo.enter_context(_bound(socket.SOCK_STREAM))
            self._tcp.listen(_BACKLOG)
            ports = {socket.IPPROTO_UDP: self._udp, socket.IPPROTO_TCP: self._tcp}
            targets = {protocol: sock.getsockname()[1] for protocol, sock in ports.items()}
            redirect(TABLE, IPv4Address(ADDRESS), 53, targets)
            undo.pop_all()
        shared.loop.watch(self._udp.fileno(), READ, self._datagrams)
        shared.loop.watch(self._tcp.fileno(), READ, self._accept)

    def close(self) -> None:
        """Let go of the namespace and all in it."""
        for connection in list(self._connections):
            connection.close()
        for sock in (self._udp, self._tcp):
            self._shared.loop.unwatch(sock.fileno())
            sock.close()
        os.close(self._netns)
        self._netns = -1

    def answer(self, data: bytes, by_tcp: bool, send: Callable[[bytes], None]) -> None:
        """Answer one message by `send`, at once or later, always once; b"" is no answer at all."""
        try:
            query = codec.parse_query(data)
        except Malformed as refused:
            send(refused.reply)
            return
        limit = 0 if by_tcp else query.size
        found = reply(self._shared.tables, self.view, query, limit or MAX_MESSAGE)
        if found is not None:
            send(found)
        elif not self.view.forward or not self.view.servers:
            send(codec.answer(query, codec.SERVER_FAILURE))
        elif self._asking >= MAX_QUESTIONS or self._shared.forwarder.is_full:
            send(codec.answer(query, codec.REFUSED))
        else:
            self._pass_on(query, limit, send)

    def _pass_on(self, query: Query, limit: int, send: Callable[[bytes], None]) -> None:
        self._asking += 1

        def answered(data: bytes) -> None:
            self._asking -= 1
            if self._netns >= 0:
                send(data)

        self._shared.forwarder.ask(Question(query, self.view.servers, lambda: self._netns, limit, answered))

    # -- UDP -----------------------------------------------------------------------------------------------------

    def _datagrams(self, _: int) -> None:
        for _turn in range(_TURN):
            try:
                data, peer = self._udp.recvfrom(MAX_MESSAGE)
            except OSError:
                return
            self.answer(data, False, lambda wire, peer=peer: self._send(wire, peer))  # type: ignore[misc]

    def _send(self, wire: bytes, peer: tuple[str, int]) -> None:
        if not wire:
            return
        with contextlib.suppress(OSError):  # a full buffer or a socket that is gone: the asker asks again or not
            self._udp.sendto(wire, peer)

    # -- TCP -----------------------------------------------------------------------------------------------------

    def _accept(self, _: int) -> None:
        try:
            client, _peer = self._tcp.accept()
        except OSError:
            return
        client.setblocking(False)
        if not self._sweeping:
            self._sweeping = True
            self._shared.loop.later(IDLE_SECONDS, self._sweep)
        self._connections.add(_Connection(self, self._shared.loop, client))
        if len(self._connections) >= MAX_CONNECTIONS:
            self._shared.loop.unwatch(self._tcp.fileno())

    def _sweep(self) -> None:
        """Close idle connections, as long as there are any connections."""
        now = time.monotonic()
        for connection in [connection for connection in self._connections if connection.is_idle(now)]:
            connection.close()
        self._sweeping = bool(self._connections)
        if self._sweeping:
            self._shared.loop.later(IDLE_SECONDS, self._sweep)

    def ended(self, connection: "_Connection") -> None:
        self._connections.discard(connection)
        if self._netns >= 0:
            self._shared.loop.watch(self._tcp.fileno(), READ, self._accept)


class _Connection:
    """A client by TCP: questions one after another, answers in the order in which they are known (RFC 7766)."""

    def __init__(self, resolver: SandboxResolver, loop: Loop, sock: socket.socket) -> None:
        self._resolver, self._loop, self._socket = resolver, loop, sock
        self._received, self._unsent = bytearray(), bytearray()
        self._asking, self._ended, self._open = 0, False, True
        self._used = time.monotonic()
        self._settle()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._resolver.ended(self)

    def _ready(self, events: int) -> None:
        self._used = time.monotonic()
        try:
            if events & WRITE and self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
            if events & ~WRITE and not self._ended:
                self._read()
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        self._settle()

    def _read(self) -> None:
        data = self._socket.recv(_STREAM_TURN)
        self._ended = not data
        self._received += data
        while self._open and len(self._received) >= 2:
            length = int.from_bytes(self._received[:2], "big")
            if len(self._received) < 2 + length:
                return
            message = bytes(self._received[2 : 2 + length])
            del self._received[: 2 + length]
            self._asking += 1
            self._resolver.answer(message, True, self._send)

    def _send(self, wire: bytes) -> None:
        self._asking -= 1
        if not wire:
            self.close()
        if self._open:
            self._unsent += len(wire).to_bytes(2, "big") + wire
            self._settle()

    def _settle(self) -> None:
        if self._ended and not self._asking and not self._unsent:
            self.close()
        if not self._open:
            return
        reads = not self._ended and len(self._unsent) < _MAX_UNSENT
        self._loop.watch(self._socket.fileno(), (READ if reads else 0) | (WRITE if self._unsent else 0), self._ready)

    def is_idle(self, now: float) -> bool:
        return not self._asking and now - self._used >= IDLE_SECONDS


def _bound(kind: int) -> socket.socket:
    """A socket on our address and a port of the kernel's choice; the loopback interface may still be down."""
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind((ADDRESS, 0))
    except BaseException:
        sock.close()
        raise
    return sock
