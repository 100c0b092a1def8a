"""Hosts made of network namespaces, all in one process: a socket belongs to the namespace it was made in."""

import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from wharf.kernel import netlink
from wharf.kernel.netlink import NetlinkSocket, attribute, nested

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def unshare_network() -> int:
    """Move this thread into a fresh network namespace and return its descriptor."""
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    return current()


def current() -> int:
    """A descriptor of this thread's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def enter(netns: int) -> None:
    """Move this thread into a network namespace."""
    if _libc.setns(netns, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(netns: int) -> Iterator[None]:
    """Run the body in a namespace."""
    before = current()
    enter(netns)
    try:
        yield
    finally:
        enter(before)
        os.close(before)


@dataclass
class Sandbox:
    """What the runtime hands over: a namespace and an rtnetlink socket opened inside."""

    netns: int
    route: socket.socket

    def close(self) -> None:
        self.route.close()
        os.close(self.netns)


@dataclass
class Lab:
    """`host` is where the manager works, 192.0.2.2 its address; `outside` is a machine beside it, 192.0.2.1."""

    host: int
    outside: int
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def sandbox(self) -> Sandbox:
        before = current()
        netns = unshare_network()
        made = Sandbox(netns, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE))
        enter(before)
        os.close(before)
        self.closing.callback(made.close)
        return made

    def serve_tcp(self, netns: int, port: int, address: str = "0.0.0.0") -> None:
        """Answer each connection with the peer's address, then echo until the peer half-closes."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with inside(netns):
            server = socket.socket(family, socket.SOCK_STREAM)
            server.bind((address, port))
            server.listen(4096)
        self.closing.callback(server.close)
        self.closing.callback(lambda: server.shutdown(socket.SHUT_RDWR))
        threading.Thread(target=_accept, args=(server,), daemon=True).start()

    def serve_udp(self, netns: int, port: int) -> None:
        """Answer each datagram with the peer's address and the datagram."""
        with inside(netns):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind(("0.0.0.0", port))
        server.settimeout(0.2)
        stop = threading.Event()
        thread = threading.Thread(target=_answer, args=(server, stop), daemon=True)
        self.closing.callback(server.close)
        self.closing.callback(thread.join)
        self.closing.callback(stop.set)
        thread.start()


def _accept(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, peer = server.accept()
            threading.Thread(target=_echo, args=(connection, peer[0]), daemon=True).start()


def _echo(connection: socket.socket, peer: str) -> None:
    with connection, contextlib.suppress(OSError):
        connection.sendall(peer.encode() + b"\n")
        while data := connection.recv(65536):
            connection.sendall(data)


def _answer(server: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            data, peer = server.recvfrom(65536)
            server.sendto(f"{peer[0]} ".encode() + data, peer)


def ask_tcp(netns: int, address: str, port: int, source: str = "", seconds: float = 2) -> str:
    """Connect from a namespace and return the address that the server saw; raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(netns):
        client = socket.socket(family, socket.SOCK_STREAM)
    with client:
        client.settimeout(seconds)
        if source:
            client.bind((source, 0))
        client.connect((address, port))
        client.shutdown(socket.SHUT_WR)
        return read_all(client).decode().strip()


def read_all(client: socket.socket) -> bytes:
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def ask_udp(netns: int, address: str, port: int, seconds: float = 2) -> str:
    """Send one datagram and return the address that the server saw; raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(netns):
        client = socket.socket(family, socket.SOCK_DGRAM)
    with client:
        client.settimeout(seconds)
        client.connect((address, port))
        client.send(b"hello")
        seen, _, said = client.recv(65536).decode().partition(" ")
        assert said == "hello"
        return seen


def make_lab() -> Lab:
    """This thread is in `host` afterwards."""
    outside = unshare_network()
    route_outside = NetlinkSocket()
    host = unshare_network()
    route = NetlinkSocket()
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"eth0\0") + attribute(28, struct.pack("=i", outside))
    link = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"eth0\0")
    link += nested(18, attribute(1, b"veth"), nested(2, attribute(1, body)))
    route.transact([netlink.Message(netlink.RTM_NEWLINK, link, netlink.NLM_F_ACK | netlink.NLM_F_CREATE)])
    for wire, text in ((route, "192.0.2.2/24"), (route_outside, "192.0.2.1/24")):
        found = netlink.link(wire, "eth0")
        assert found
        address = netlink.add_address(found.index, netlink.IPv4Interface(text))
        wire.transact([netlink.set_up(1), netlink.set_up(found.index), address])
        wire.close()
    return Lab(host, outside)
