"""Host ports: a published address is bound once, here, so that no other program can take it.

Nobody listens on the IPv4 sockets (the firewall turns packets before they would arrive); netd listens on the IPv6
ones. Copies of each socket live in the monitor and in netd: the port is free when the container has ended.
"""

import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from wharf.errors import Internal
from wharf.network.bridge import read_sysctl
from wharf.spec.network import Endpoint, Port, PortRequest, PublishedPort

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_NUMBERS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_FALLBACK_RANGE = (49153, 65535)
_RELEASE_GRACE, _RELEASE_STEP = 0.5, 0.002
"""Seconds that a port just given back may still be held by a monitor that is ending, and between two tries."""

Key = tuple[str, str, int]
"""Host address, protocol, host port."""


@dataclass(slots=True)
class Binding:
    """A published port and the socket that reserves it."""

    port: PublishedPort
    socket: socket.socket


@dataclass(slots=True)
class _Book:
    owners: dict[Key, tuple[str, Port]] = field(default_factory=dict)
    """The endpoint and its own port."""
    hosts: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    """Protocol and number -> host addresses of the owners."""
    released: dict[Key, float] = field(default_factory=dict)
    cursor: int = 0


class PortTable:
    """Which endpoint has which host port; binds the sockets. Thread-safe."""

    def __init__(self) -> None:
        self._book = _Book()
        self._lock = threading.Lock()

    def bind(self, owner: str, container: IPv4Address | IPv6Address, requests: Sequence[PortRequest]) -> list[Binding]:
        """Bind every requested port or none; raises Internal in Docker's words. Exact ports are taken first, then those
        of ranges, then any free ones: none takes what a later one asks for."""
        order = sorted(range(len(requests)), key=lambda index: _freedom(requests[index]))
        with self._lock, ExitStack() as undo:
            bindings: dict[int, list[Binding]] = {}
            for index in order:
                bindings[index] = self._bind_one(owner, container, requests[index])
                undo.callback(self._forget, owner, bindings[index])
            undo.pop_all()
            return [binding for index in range(len(requests)) for binding in bindings[index]]

    def claim(self, owner: str, ports: Iterable[PublishedPort]) -> None:
        """Note the ports of a container that runs already; its monitor holds the sockets."""
        with self._lock:
            for port in ports:
                self._own(owner, port)

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint's ports back."""
        now = time.monotonic()
        with self._lock:
            for port in endpoint.ports:
                if self._disown(port, endpoint.id):
                    self._book.released[_key(port)] = now

    def _forget(self, owner: str, bound: list[Binding]) -> None:
        for binding in bound:
            self._disown(binding.port, owner)
            binding.socket.close()

    def _own(self, owner: str, port: PublishedPort) -> None:
        host, protocol, number = key = _key(port)
        self._book.owners[key] = owner, port.port
        self._book.hosts.setdefault((protocol, number), set()).add(host)

    def _disown(self, port: PublishedPort, owner: str) -> bool:
        host, protocol, number = key = _key(port)
        if self._book.owners.get(key, ("",))[0] != owner:
            return False
        del self._book.owners[key]
        hosts = self._book.hosts[protocol, number]
        hosts.discard(host)
        if not hosts:
            del self._book.hosts[protocol, number]
        return True

    def _bind_one(self, owner: str, container: IPv4Address | IPv6Address, request: PortRequest) -> list[Binding]:
        hosts = [request.host_ip] if request.host_ip is not None else _every_address()
        if request.port.protocol == "sctp" and container.version == 4 and request.host_ip is None:
            hosts = ["0.0.0.0"]  # an IPv6 address is relayed to an IPv4 one, and SCTP cannot be
        failure: Internal | None = None
        for number in self._candidates(request):
            try:
                bound = self._bind_hosts((owner, container), request, hosts, number)
            except Internal as error:
                if not request.first or request.first == request.last:
                    failure = error
                    if request.first:
                        break
                else:
                    failure = Internal(f"Bind for {hosts[0]}:{request.first} failed: all ports are allocated")
                continue
            for binding in bound:
                self._own(owner, binding.port)
            if not request.first:
                self._book.cursor = number + 1
            return bound
        raise failure or Internal("all ports are allocated")

    def _candidates(self, request: PortRequest) -> Iterator[int]:
        if request.first:
            yield from range(request.first, request.last + 1)
            return
        first, last = ephemeral_range()
        start = self._book.cursor if first <= self._book.cursor <= last else first
        yield from range(start, last + 1)
        yield from range(first, start)

    def _bind_hosts(
        self, whose: tuple[str, IPv4Address | IPv6Address], request: PortRequest, hosts: list[str], number: int
    ) -> list[Binding]:
        """Bind one number on all hosts, the same for IPv4 and IPv6; raises Internal. `whose`: endpoint and address."""
        owner, container = whose
        bound: list[Binding] = []
        with ExitStack() as undo:
            for host in hosts:
                published = PublishedPort(request.port, host, number)
                self._refuse_own(owner, published)
                try:
                    sock = self._bind_patiently(published)
                except OSError as error:
                    raise Internal(_refusal(published, container, error)) from error
                undo.callback(sock.close)
                bound.append(Binding(published, sock))
            undo.pop_all()
        return bound

    def _refuse_own(self, owner: str, wanted: PublishedPort) -> None:
        """Raises Internal where an endpoint of ours has this port: on the same address, on any, or on one of those that
        any means."""
        protocol, number = wanted.port.protocol, wanted.host_port
        any_host = "::" if wanted.is_ipv6 else "0.0.0.0"
        for host in sorted(self._book.hosts.get((protocol, number), ())):
            if (":" in host) != wanted.is_ipv6 or (
                host not in (wanted.host_ip, any_host) and wanted.host_ip != any_host
            ):
                continue
            if self._book.owners[host, protocol, number] == (owner, wanted.port):
                raise Internal(f"failed to listen on {protocol.upper()} socket: address already in use")
            raise Internal(f"Bind for {_in_brackets(host)}:{number} failed: port is already allocated")

    def _bind_patiently(self, wanted: PublishedPort) -> socket.socket:
        """Bind; where the port was ours a moment ago, wait for its last holder to end."""
        deadline = self._book.released.pop(_key(wanted), float("-inf")) + _RELEASE_GRACE
        while True:
            try:
                return bind_socket(wanted)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
            time.sleep(_RELEASE_STEP)


def bind_socket(wanted: PublishedPort) -> socket.socket:
    """A socket bound to the address, listening to nothing; raises OSError.

    SO_REUSEADDR is on for the bind alone: it passes over connections in TIME_WAIT, and switched off again it makes
    another program's listen(2) on this port fail (bind conflicts, inet_csk_bind_conflict in the kernel).
    """
    family = socket.AF_INET6 if wanted.is_ipv6 else socket.AF_INET
    protocol = wanted.port.protocol
    try:
        sock = socket.socket(family, _TYPES[protocol] | socket.SOCK_CLOEXEC, _NUMBERS[protocol])
    except OSError as error:
        if protocol != "sctp" or error.errno != errno.EPROTONOSUPPORT:
            raise
        # This kernel has no SCTP sockets, so nobody can take the port; its packets are led all the same. What stands
        # for the reservation is bound to nothing.
        return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        if wanted.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        stream = protocol == "tcp"
        if stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((wanted.host_ip, wanted.host_port))
        if stream:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        sock.close()
        raise
    return sock


def _every_address() -> list[str]:
    """What `-p 80:80` binds. IPv6 only where ::1 can be listened on: binding to :: works even where IPv6 is off."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ["0.0.0.0"]
    return ["0.0.0.0", "::"]


def ephemeral_range() -> tuple[int, int]:
    """Ports for `-p 80` without a host port: the kernel's own range, else Docker's fallback."""
    numbers = read_sysctl("ipv4/ip_local_port_range").split()
    return (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else _FALLBACK_RANGE


def _freedom(request: PortRequest) -> int:
    """How many host ports would do, roughly."""
    return request.last - request.first if request.first else 1 << 16


def _key(port: PublishedPort) -> Key:
    return port.host_ip, port.port.protocol, port.host_port


def _in_brackets(host: str) -> str:
    return str(ipaddress.ip_address(host)) if ":" not in host else f"[{host}]"


def _refusal(wanted: PublishedPort, container: IPv4Address | IPv6Address, error: OSError) -> str:
    text = os.strerror(error.errno or 0)
    inner: Port = wanted.port
    target = f"{_in_brackets(wanted.host_ip)}:{wanted.host_port}:{container}:{inner.number}/{inner.protocol}"
    return f"failed to bind host port for {target}: {text[:1].lower()}{text[1:]}"
