"""Connections that are not a socket to the daemon itself: TLS, and a command at the other end of ssh.

Both look like a plain connected socket to everybody else: one end of a socket pair, whose other end is carried on by
a thread (TLS) or a process (ssh). Streams may be half-closed, polled and hijacked as on a Unix socket. Only who needs
it imports this module: `ssl` alone takes longer than a whole `wharf ps` may.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import subprocess
import threading

from wharf.client.address import Address
from wharf.client.http import ConnectFailed

CHUNK = 65536
HANDSHAKE_SECONDS = 30.0
SSH_SECONDS = 30
REMOTE = (
    "if command -v wharf >/dev/null; then exec wharf {0}system dial-stdio; else exec docker {0}system dial-stdio; fi"
)


class CarriedSocket(socket.socket):
    """Our end of a socket whose bytes go by TLS; `refusal` is the alert that ended the session, if one did."""

    refusal = ""


def tls(address: Address, tcp: socket.socket) -> socket.socket:
    """A socket whose bytes go over `tcp` by TLS; raises ConnectFailed when the two sides do not agree."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context = _context(address)
        session = context.wrap_bio(incoming, outgoing, server_hostname=address.host)
        tcp.settimeout(HANDSHAKE_SECONDS)
        _handshake(session, incoming, outgoing, tcp)
    except OSError as error:  # ssl.SSLError among them
        tcp.close()
        raise ConnectFailed(f"Cannot connect to the daemon at {address} by TLS: {error}") from None
    end, theirs = socket.socketpair()
    ours = CarriedSocket(fileno=end.detach())
    pump = _Pump(session, incoming, outgoing, tcp, theirs, ours)
    threading.Thread(target=pump.run, name="tls", daemon=True).start()
    return ours


def ssh(address: Address) -> socket.socket:
    """A socket to `wharf system dial-stdio` (or docker's) on the host of an ssh:// address; raises ConnectFailed."""
    where = address.ssh
    assert where is not None
    user, host, port, path = where
    command = ["ssh", "-T", "-o", f"ConnectTimeout={SSH_SECONDS}"]
    command += ["-l", user] if user else []
    command += ["-p", port] if port else []
    remote = REMOTE.format(f"-H unix://{path} " if path.strip("/") else "")
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            subprocess.Popen([*command, "--", host, remote], stdin=theirs.fileno(), stdout=theirs.fileno())
        except OSError as error:
            ours.close()
            raise ConnectFailed(f"Cannot connect to the daemon at {address}: ssh: {error.strerror}") from None
    return ours


def _context(address: Address) -> ssl.SSLContext:
    files = address.tls or {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not files.get("verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif os.path.exists(files.get("ca", "")):
        context.load_verify_locations(files["ca"])
    else:
        context.load_default_certs()
    if os.path.exists(files.get("cert", "")):
        context.load_cert_chain(files["cert"], files.get("key"))
    return context


def _handshake(session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, tcp: socket.socket) -> None:
    while True:
        try:
            session.do_handshake()
            tcp.sendall(outgoing.read())
            return
        except ssl.SSLWantReadError:
            tcp.sendall(outgoing.read())
        except ssl.SSLError:
            with contextlib.suppress(OSError):
                tcp.sendall(outgoing.read())  # the alert that says why
            raise
        data = tcp.recv(CHUNK)
        if not data:
            raise ConnectionError("the server closed the connection during the handshake")
        incoming.write(data)


class _Pump:
    """One thread between a plain socket and a TLS session over memory: neither side's slowness stops the other."""

    def __init__(
        self,
        session: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        tcp: socket.socket,
        plain: socket.socket,
        ours: CarriedSocket,
    ) -> None:
        self._ours = ours
        self._session, self._incoming, self._outgoing = session, incoming, outgoing
        self._tcp, self._plain = tcp, plain
        self._to_tcp, self._to_plain = b"", b""
        self._reading_plain = self._reading_tcp = True

    def run(self) -> None:
        """Until both sides have ended or one broke."""
        self._tcp.setblocking(False)
        self._plain.setblocking(False)
        with self._tcp, self._plain, contextlib.suppress(OSError):
            while self._reading_tcp or self._to_plain:
                self._step()
            self._plain.shutdown(socket.SHUT_WR)
            self._plain.setblocking(True)

    def _step(self) -> None:
        poll, asked = select.poll(), {self._tcp.fileno(): 0, self._plain.fileno(): 0}
        asked[self._tcp.fileno()] |= select.POLLIN if self._reading_tcp and not self._to_plain else 0
        asked[self._tcp.fileno()] |= select.POLLOUT if self._to_tcp else 0
        asked[self._plain.fileno()] |= select.POLLIN if self._reading_plain and not self._to_tcp else 0
        asked[self._plain.fileno()] |= select.POLLOUT if self._to_plain else 0
        for descriptor, events in asked.items():
            if events or (descriptor == self._plain.fileno() and not self._to_tcp):  # a hang-up is told in any case
                poll.register(descriptor, events)
        ready = dict(poll.poll())
        tcp, plain = ready.get(self._tcp.fileno(), 0), ready.get(self._plain.fileno(), 0)
        if plain & select.POLLHUP and not self._reading_plain:
            raise ConnectionError("the command has closed its side")
        if tcp & ~select.POLLOUT and self._reading_tcp and not self._to_plain:
            self._from_tcp()
        if plain & ~select.POLLOUT and self._reading_plain and not self._to_tcp:
            self._from_plain()
        if self._to_tcp:
            self._to_tcp = self._to_tcp[_sent(self._tcp, self._to_tcp) :]
        if self._to_plain:
            self._to_plain = self._to_plain[_sent(self._plain, self._to_plain) :]

    def _from_tcp(self) -> None:
        data = self._tcp.recv(CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._reading_tcp = False
        pieces = []
        try:
            while piece := self._session.read(CHUNK):
                pieces.append(piece)
            self._reading_tcp = False  # the other side's close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._reading_tcp = False
            self._ours.refusal = (error.reason or "").replace("_", " ").lower()
        self._to_plain += b"".join(pieces)
        self._to_tcp += self._outgoing.read()

    def _from_plain(self) -> None:
        data = self._plain.recv(CHUNK)
        if data:
            self._session.write(data)
        else:
            self._reading_plain = False
            # Only our side ends. What is in memory was read before, so that this consumes nothing of the answer.
            with contextlib.suppress(ssl.SSLError):
                self._session.unwrap()
        self._to_tcp += self._outgoing.read()


def _sent(sock: socket.socket, data: bytes) -> int:
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0
