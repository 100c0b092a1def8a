"""What an endpoint publishes: the sockets that reserve its host ports, and which of them a network wants at all."""

import dataclasses
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from wharf.kernel.netlink import Interface
from wharf.spec.network import BridgeFacts, Endpoint, GatewayMode, PortRequest, PublishedPort

_MAX_HELD = 128


@dataclass(slots=True)
class Published:
    """An endpoint with its ports, and the sockets that reserve them, to be handed to the monitor; `more` are addresses
    that it gets besides (`--link-local-ip`)."""

    endpoint: Endpoint
    sockets: list[socket.socket] = field(default_factory=list)
    more: tuple[Interface, ...] = ()

    def to_hold(self) -> tuple[int, ...]:
        """Descriptors for the monitor: what fits into one message (SCM_MAX_FD is 253). netd holds all of them."""
        return tuple(sock.fileno() for sock in self.sockets[:_MAX_HELD])

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


def by_mode(
    requests: Sequence[PortRequest], endpoint: Endpoint, facts: BridgeFacts | None, default: str = ""
) -> tuple[list[PortRequest], list[PublishedPort]]:
    """What is to be bound for ports, and what is published without a host port, on a network like this.

    An internal network publishes nothing. Where the gateway mode of a family is `routed` its ports need no host port:
    they are let in at the container's own address. An endpoint without IPv4 has no use for IPv4 host addresses. Ports
    asked for without a host address get the network's, else the `default`.
    """
    if facts is None or facts.internal:
        return [], []
    bound: list[PortRequest] = []
    routed: list[PublishedPort] = []
    wanted = facts.host_binding or default
    binding = wanted if wanted not in ("", "0.0.0.0") else None
    for request in requests:
        if request.host_ip is None and binding:
            request = dataclasses.replace(request, host_ip=binding)
        hosts = _hosts(request, endpoint, facts)
        if hosts is None:
            bound.append(request)
            continue
        for host, is_routed in hosts:
            if is_routed:
                routed.append(PublishedPort(request.port, host, 0))
            else:
                bound.append(dataclasses.replace(request, host_ip=host))
    return bound, routed


def _hosts(request: PortRequest, endpoint: Endpoint, facts: BridgeFacts) -> list[tuple[str, bool]] | None:
    """Host addresses of one request with "is it routed"; None: as it is asked for."""
    routed4 = facts.mode4 is GatewayMode.ROUTED
    routed6 = facts.mode6 is GatewayMode.ROUTED and endpoint.address6 is not None
    if not routed4 and not routed6 and endpoint.address is not None:
        return None
    asked = [request.host_ip] if request.host_ip is not None else ["0.0.0.0", "::"]
    return [
        (host, routed6 if ":" in host else routed4) for host in asked if ":" in host or endpoint.address is not None
    ]
