"""One endpoint on the wire: the veth pair from outside, addresses and routes through the sandbox's own socket."""

import socket
from dataclasses import dataclass

from wharf.errors import Internal
from wharf.kernel import netlink
from wharf.kernel.netlink import NetlinkSocket
from wharf.network.plan import EndpointPlan

_LOOPBACK_INDEX = 1


@dataclass(frozen=True, slots=True)
class SandboxTarget:
    """A sandbox that waits for its network: its namespace's descriptor, an rtnetlink socket opened inside it, and
    the pidfd of the monitor whose end means that the sandbox is gone (-1: nobody watches). All stay the caller's."""

    netns: int
    route: socket.socket
    monitor: int = -1


def connect(host: NetlinkSocket, bridge: int, plan: EndpointPlan, target: SandboxTarget) -> None:
    """Make the pair and set up its inner end; raises Internal. What is half made dies with the namespace."""
    endpoint = plan.endpoint
    try:
        peer = (endpoint.interface, endpoint.mac, target.netns)
        host.transact(netlink.new_veth(plan.veth, bridge, plan.mtu, peer))
        inside = NetlinkSocket(sock=target.route)
        link = netlink.link(inside, endpoint.interface)
        if link is None:
            raise Internal(f"failed to set up container networking: {endpoint.interface} did not appear in the sandbox")
        messages = [
            netlink.set_up(_LOOPBACK_INDEX),
            netlink.set_up(link.index, link_local=False),
        ]
        if endpoint.address is not None:
            messages.append(netlink.add_address(link.index, endpoint.address))
        if endpoint.gateway is not None:
            messages.append(netlink.add_default_route(endpoint.gateway, link.index))
        inside.transact(messages)
    except OSError as error:
        raise Internal(f"failed to set up container networking: {plan.describe()}: {error.strerror}") from error


def loopback_up(route: socket.socket) -> None:
    """A sandbox without a network has its loopback all the same."""
    NetlinkSocket(sock=route).transact([netlink.set_up(_LOOPBACK_INDEX)])
