"""The sockets of published ports, for a netd that has none: found again in the monitor, which holds duplicates, or
bound anew where nobody holds them any more (past a monitor's share, or of a network connected later)."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

from wharf.kernel.process import descriptor_of, pid_of
from wharf.network.ports import bind_socket
from wharf.spec.network import PublishedPort

Key = tuple[str, str, int]
_PROTOCOLS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_SCTP: "sctp"}


def sockets_of(
    ports: Sequence[PublishedPort], monitor: int, warn: Callable[[str], None]
) -> list[tuple[PublishedPort, socket.socket]]:
    """A socket for each port that has one on the host; the caller closes them. `monitor` is a pidfd. A port that
    cannot be had any more is left out, with a warning."""
    wanted = {_key(port): port for port in ports if port.host_port}
    found: dict[Key, socket.socket] = {}
    for sock in _held(monitor):
        key = _key_of(sock)
        if key in wanted and key not in found:
            found[key] = sock
        else:
            sock.close()
    for key in wanted.keys() - found.keys():
        try:
            found[key] = bind_socket(wanted[key])
        except OSError as error:
            warn(f"host port {key[1]} {key[0]}:{key[2]} cannot be had again: {os.strerror(error.errno or 0).lower()}")
    return [(port, found[key]) for key, port in wanted.items() if key in found]


def _held(monitor: int) -> Iterator[socket.socket]:
    """Duplicates of the internet sockets of a process; nothing when it has gone."""
    with contextlib.suppress(OSError):
        pid = pid_of(monitor)
        for name in os.listdir(f"/proc/{pid}/fd"):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                continue
            sock = socket.socket(fileno=descriptor_of(monitor, int(name)))
            if sock.family in (socket.AF_INET, socket.AF_INET6):
                yield sock
            else:
                sock.close()


def _key_of(sock: socket.socket) -> Key:
    host, port = sock.getsockname()[:2]
    return str(ip_address(host)), _PROTOCOLS.get(sock.proto, ""), port


def _key(port: PublishedPort) -> Key:
    return str(ip_address(port.host_ip)), port.port.protocol, port.host_port
