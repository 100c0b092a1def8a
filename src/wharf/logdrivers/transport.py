"""Connections to receivers: opened in bounded time, then never waited for."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
from dataclasses import dataclass

from wharf.errors import Internal, Invalid

CONNECT_LIMIT = 10.0  # seconds
_DATAGRAMS = ("udp", "unixgram")
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of authority, certificate and key ("": the system's, none); whether the name goes unverified."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class Address:
    """`kind`: udp, tcp, unix, unixgram, or local: the first of some paths, as datagrams or as a stream."""

    kind: str
    target: str
    tls: Tls | None = None


class Connection:
    """One open connection. `send` raises BlockingIOError when the receiver lags, OSError when it is gone."""

    def __init__(self, sock: socket.socket, datagrams: bool) -> None:
        self._sock, self.datagrams = sock, datagrams
        self._poller = select.poll()
        self._poller.register(sock.fileno(), select.POLLRDHUP)
        sock.setblocking(False)

    def fileno(self) -> int:
        """To wait for it."""
        return self._sock.fileno()

    def send(self, data: memoryview) -> int:
        """How much was taken; a datagram is taken whole."""
        if not self.datagrams and any(events & _GONE for _, events in self._poller.poll(0)):
            raise ConnectionResetError(errno.ECONNRESET, "the receiver has closed the connection")
        try:
            return self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ConnectionRefusedError:
            if self.datagrams and self._sock.family != socket.AF_UNIX:
                return len(data)  # an ICMP answer to an earlier datagram: nobody listens, as UDP has it
            raise
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise BlockingIOError from None
            if error.errno == errno.EMSGSIZE and self.datagrams and self._sock.family == socket.AF_UNIX:
                return self._send_in_file(data)
            raise

    def _send_in_file(self, data: memoryview) -> int:
        """journald takes what is too large for a datagram as a sealed memfd (systemd, Native Journal Protocol)."""
        from wharf.kernel import memfile

        memfd = os.memfd_create("wharf-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(memfd, data)
            memfile.seal(memfd)
            socket.send_fds(self._sock, [b""], [memfd])
        finally:
            os.close(memfd)
        return len(data)

    def receive(self, size: int) -> bytes:
        """What the receiver said; BlockingIOError for nothing yet, b"" at the end."""
        try:
            return self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def say_goodbye(self) -> bool:
        """End our side; whether the other end of a stream is to be awaited before `close`: closing while something of
        it is unread (a TLS ticket) would make the kernel throw away what it has not read of ours."""
        if self.datagrams:
            return False
        try:
            if isinstance(self._sock, ssl.SSLSocket):
                with contextlib.suppress(ssl.SSLError):
                    self._sock.unwrap()  # sends close_notify; the answer is not needed
            socket.socket.shutdown(self._sock, socket.SHUT_WR)
        except (OSError, ValueError):
            return False
        return True

    def has_ended(self) -> bool:
        """After `say_goodbye`: read and forget what the receiver says; whether it has ended too."""
        try:
            return not os.read(self._sock.fileno(), 65536)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close without waiting."""
        self._sock.close()


def connect(address: Address) -> Connection:
    """Raises OSError, and Invalid for certificates that cannot be read. Blocks for CONNECT_LIMIT at most."""
    if address.kind == "local":
        return _connect_local(address.target.split(","))
    if address.kind in ("unix", "unixgram"):
        return _connect_path(address.target, address.kind)
    host, _, port = address.target.rpartition(":")
    host = host.strip("[]")
    if address.kind == "udp":
        family, kind, number, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, kind, number)
        sock.connect(where)
        return Connection(sock, True)
    sock = socket.create_connection((host, int(port)), CONNECT_LIMIT)
    try:
        if address.tls is not None:
            sock = _context(address.tls).wrap_socket(sock, server_hostname=host)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, False)


def _connect_path(path: str, kind: str) -> Connection:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "unix" else socket.SOCK_DGRAM)
    try:
        sock.settimeout(CONNECT_LIMIT)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return Connection(sock, kind != "unix")


def _connect_local(paths: list[str]) -> Connection:
    for path in paths:
        for kind in ("unixgram", "unix"):
            try:
                return _connect_path(path, kind)
            except OSError:
                continue
    raise Internal("Unix syslog delivery error")


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if tls.ca:
        try:
            context.load_verify_locations(tls.ca)
        except OSError as error:
            why = os.strerror(error.errno or 0).lower()
            raise Invalid(f'could not read CA certificate "{tls.ca[:100]}": open {tls.ca[:100]}: {why}') from None
    if tls.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate or tls.key:
        try:
            context.load_cert_chain(tls.certificate, tls.key or None)
        except OSError as error:
            raise Invalid(f"Could not load X509 key pair: {error}. Make sure the key is not encrypted") from None
    return context


def words_of(address: Address, error: OSError) -> str:
    """As Go's net package says it: `dial tcp 127.0.0.1:1: connect: connection refused`."""
    if isinstance(error, TimeoutError):
        return f"dial {address.kind} {address.target}: i/o timeout"
    if isinstance(error, socket.gaierror):
        return f"dial {address.kind}: lookup {address.target.rpartition(':')[0]}: no such host"
    if isinstance(error, ssl.SSLError):
        return f"tls: failed to verify certificate: {error}"
    return f"dial {address.kind} {address.target}: connect: {os.strerror(error.errno or 0).lower()}"
