"""The listening socket: a thread a connection within a bound, room made by cutting those that wait longest."""

import contextlib
import logging
import selectors
import socket
import ssl
import threading
import time

from wharf.errors import Invalid, Unavailable
from wharf.registry.server.connection import Connection, Serve

MAX_CONNECTIONS = 512
BACKLOG = 512
MIN_IDLE_SECONDS = 0.5
"""A connection that waits for a head is left alone at least this long."""

log = logging.getLogger("wharf.registry")


def bind(address: str) -> socket.socket:
    """A listening TCP socket on `host:port`, `[v6]:port` or `:port`; raises Invalid, Unavailable."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise Invalid(f"invalid address {address[:200]!r}: expected host:port")
    host = host.strip("[]") or "0.0.0.0"
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror or error}") from None
    return listener


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """TLS 1.2 and newer with these PEM files; raises Invalid."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise Invalid(f"cannot use the TLS files {certificate}, {key}: {error}") from None
    return context


class Listener:
    """Accepts until `stop`; `serve` answers requests in connection threads."""

    def __init__(self, sock: socket.socket, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self._socket = sock
        self._serve = serve
        self._tls = tls
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._open: set[Connection] = set()
        self._stopping = False
        self._wake, self._waker = socket.socketpair()

    def run(self) -> None:
        """Accept connections until `stop` is called."""
        self._socket.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._stopping:
                selector.select()
                if self._stopping:
                    break
                self._make_room()
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    self._accept()

    def stop(self) -> None:
        """End `run`; safe in a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._waker.send(b"x")

    def close(self, grace: float) -> None:
        """Close the socket, let requests at hand finish for `grace` seconds, cut the rest."""
        self._socket.close()
        with self._room:
            for connection in self._open:
                connection.stopping = True
                if connection.idle_since is not None:
                    connection.cut()
            self._room.wait_for(lambda: not self._open, grace)
            for connection in self._open:
                connection.cut()
            self._room.wait_for(lambda: not self._open, grace)
        self._wake.close()
        self._waker.close()

    def _accept(self) -> None:
        try:
            sock, address = self._socket.accept()
        except OSError as error:
            if isinstance(error, (BlockingIOError, ConnectionError)):
                raise
            # Out of descriptors or memory: the next idle connection that ends makes room.
            log.warning("cannot accept a connection: %s", error)
            time.sleep(0.1)
            return
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        connection = Connection(sock, str(address[0]), self._serve)
        with self._lock:
            self._open.add(connection)
        threading.Thread(target=self._run, args=(connection,), name="connection", daemon=True).start()

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        except Exception:
            log.exception("while serving %s", connection.client)
        finally:
            with self._room:
                self._open.discard(connection)
                self._room.notify_all()

    def _make_room(self) -> None:
        """Wait until a connection may be added; the one that has waited longest for a head is cut meanwhile."""
        with self._room:
            while len(self._open) >= MAX_CONNECTIONS and not self._stopping:
                now = time.monotonic()
                idle = [(item.idle_since, item) for item in self._open if item.idle_since is not None]
                old = [pair for pair in idle if now - pair[0] >= MIN_IDLE_SECONDS and not pair[1].stopping]
                if old:
                    min(old, key=lambda pair: pair[0])[1].cut()
                self._room.wait(MIN_IDLE_SECONDS)
