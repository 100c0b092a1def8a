"""Asking upstream name servers on behalf of sandboxes: from the sandbox's own network namespace, so that routes and
firewalls count as for the container itself, or from the host's.

One socket a question and server: its port is the kernel's random choice and only that server's answers get in. A
server that does not answer within a second is left waiting while the next one is asked. An answer that did not fit
into a datagram is fetched by TCP from the same server.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from wharf.kernel.namespaces import CLONE_NEWNET, setns
from wharf.network.netd import dns_codec as codec
from wharf.network.netd.dns_codec import MAX_MESSAGE, Query
from wharf.network.netd.loop import READ, WRITE, Loop

PORT = 53
PATIENCE = 1.0
"""Seconds until the next server is asked as well."""
GIVE_UP = 10.0
"""Seconds after which a question is answered with SERVFAIL."""
MAX_SERVERS = 3
"""As the C library's MAXNS; Docker's resolver too asks no more."""
MAX_QUESTIONS = 2048
"""Under way at once, of all sandboxes."""
_TICK = 0.1
_FINAL = (codec.NO_ERROR, codec.NAME_ERROR)


class Namespaces:
    """Sockets in network namespaces of others. For a process of one thread."""

    def __init__(self) -> None:
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, netns: int) -> Iterator[None]:
        """Be in a namespace for as long as the body runs; raises OSError when it cannot be entered."""
        setns(netns, CLONE_NEWNET)
        try:
            yield
        finally:
            try:
                setns(self._home, CLONE_NEWNET)
            except OSError:
                os._exit(70)  # whatever came next would happen in somebody else's network


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked: `servers` are (address, from the host's namespace), `netns` gives the sandbox's as long as
    it is there, then -1; `reply` takes the whole answer, in the asker's id; `limit`: octets that the asker takes, 0
    by TCP."""

    query: Query
    servers: tuple[tuple[str, bool], ...]
    netns: Callable[[], int]
    limit: int
    reply: Callable[[bytes], None]


class Forwarder:
    """All questions under way."""

    def __init__(self, loop: Loop, namespaces: Namespaces) -> None:
        self._loop, self._namespaces = loop, namespaces
        self._under_way: set[_Job] = set()
        self._ticking = False

    @property
    def is_full(self) -> bool:
        return len(self._under_way) >= MAX_QUESTIONS

    def ask(self, question: Question) -> None:
        """Ask, and reply once: with the answer, or with SERVFAIL."""
        if not self._ticking:
            self._ticking = True
            self._loop.later(_TICK, self._tick)
        job = _Job(self, question)
        self._under_way.add(job)
        job.next_server()

    def open(self, server: tuple[str, bool], kind: int, netns: int) -> socket.socket:
        """A socket that is connecting to a server; raises OSError."""
        address, from_host = server
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.nullcontext() if from_host else self._namespaces.inside(netns):
            sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                sock.connect((address, PORT))  # inside: a scope (fe80::1%eth0) is the name of an interface there
            except BlockingIOError:
                pass
            except BaseException:
                sock.close()
                raise
        return sock

    def watch(self, sock: socket.socket, mask: int, handler: Callable[[int], None]) -> None:
        self._loop.watch(sock.fileno(), mask, handler)

    def close(self, sock: socket.socket) -> None:
        self._loop.unwatch(sock.fileno())
        sock.close()

    def done(self, job: "_Job") -> None:
        self._under_way.discard(job)

    def _tick(self) -> None:
        now = time.monotonic()
        for job in list(self._under_way):
            job.look_at_the_clock(now)
        self._ticking = bool(self._under_way)
        if self._ticking:
            self._loop.later(_TICK, self._tick)


class _Job:
    """One question on its way through the servers."""

    __slots__ = ("_asked_at", "_fallback", "_forwarder", "_ident", "_open", "_question", "_servers", "_started")

    def __init__(self, forwarder: Forwarder, question: Question) -> None:
        self._forwarder, self._question = forwarder, question
        self._servers = list(question.servers[:MAX_SERVERS])
        self._ident = int.from_bytes(os.urandom(2), "big")
        self._open: set[socket.socket] = set()
        self._fallback: bytes | None = None
        """What to answer when no server has a better one."""
        self._started = self._asked_at = time.monotonic()

    def next_server(self) -> None:
        """Ask the next server that can be reached; with none left and none pending, answer what we have."""
        self._asked_at = time.monotonic()
        while self._servers:
            if self._try(self._servers.pop(0)):
                return
        if not self._open:
            self._finish(self._fallback)

    def look_at_the_clock(self, now: float) -> None:
        if now - self._started >= GIVE_UP:
            self._finish(self._fallback)
        elif now - self._asked_at >= PATIENCE and self._servers:
            self.next_server()

    def _try(self, server: tuple[str, bool]) -> bool:
        if not self._question.limit:
            return self._try_tcp(server)
        try:
            sock = self._forwarder.open(server, socket.SOCK_DGRAM, self._question.netns())
        except OSError:
            return False
        try:
            sock.send(codec.with_id(self._question.query.wire, self._ident))
        except OSError:
            sock.close()
            return False
        self._open.add(sock)
        self._forwarder.watch(sock, READ, lambda _: self._datagram(sock, server))
        return True

    def _try_tcp(self, server: tuple[str, bool]) -> bool:
        try:
            sock = self._forwarder.open(server, socket.SOCK_STREAM, self._question.netns())
        except OSError:
            return False
        self._open.add(sock)
        wire = codec.with_id(self._question.query.wire, self._ident)
        stream = _Stream(self._forwarder, sock, wire, lambda data: self._streamed(sock, data))
        self._forwarder.watch(sock, WRITE, stream.writable)
        return True

    def _datagram(self, sock: socket.socket, server: tuple[str, bool]) -> None:
        try:
            data = sock.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there (ICMP)
            self._drop(sock)
            self._none_of_this_one()
            return
        if not codec.is_answer(self._question.query, self._ident, data):
            return  # not what we asked: the right one may still come
        if not codec.is_truncated(data):
            self._answered(sock, data)
            return
        self._drop(sock)
        self._fallback = data
        if not self._try_tcp(server):
            self._none_of_this_one()

    def _streamed(self, sock: socket.socket, data: bytes | None) -> None:
        if data is None or not codec.is_answer(self._question.query, self._ident, data):
            self._drop(sock)
            self._none_of_this_one()
        else:
            self._answered(sock, data)

    def _answered(self, sock: socket.socket, data: bytes) -> None:
        if codec.code_of(data) in _FINAL:
            self._finish(data)
            return
        self._fallback = self._fallback or data
        self._drop(sock)
        self._none_of_this_one()

    def _none_of_this_one(self) -> None:
        if self._servers or not self._open:
            self.next_server()

    def _drop(self, sock: socket.socket) -> None:
        self._open.discard(sock)
        self._forwarder.close(sock)

    def _finish(self, data: bytes | None) -> None:
        for sock in list(self._open):
            self._drop(sock)
        self._servers.clear()
        self._forwarder.done(self)
        question = self._question
        if data is None:
            question.reply(codec.answer(question.query, codec.SERVER_FAILURE))
        else:
            question.reply(codec.passed_on(question.query, data, question.limit))


class _Stream:
    """One question by TCP: connect, two octets of length and the question, the same back (RFC 1035, 4.2.2)."""

    def __init__(
        self, forwarder: Forwarder, sock: socket.socket, wire: bytes, done: Callable[[bytes | None], None]
    ) -> None:
        self._forwarder, self._socket, self._done = forwarder, sock, done
        self._out = len(wire).to_bytes(2, "big") + wire
        self._received = bytearray()

    def writable(self, _: int) -> None:
        try:
            self._out = self._out[self._socket.send(self._out) :]
        except BlockingIOError:
            return
        except OSError:
            self._done(None)
            return
        if not self._out:
            self._forwarder.watch(self._socket, READ, self._readable)

    def _readable(self, _: int) -> None:
        try:
            data = self._socket.recv(MAX_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._received += data
        length = int.from_bytes(self._received[:2], "big")
        if len(self._received) >= 2 + length > 2:
            self._done(bytes(self._received[2 : 2 + length]))
        elif not data:
            self._done(None)
