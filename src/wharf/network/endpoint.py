"""Endpoints on the wire: interfaces made from outside, addresses and routes through the sandbox's own socket."""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from wharf.errors import Internal, NotImplementedYet, WharfError
from wharf.kernel import faults, netlink, sublinks
from wharf.kernel.netlink import Link, Message, NetlinkSocket
from wharf.network.options import IFNAMSIZ
from wharf.network.plan import EndpointPlan

_LOOPBACK_INDEX = 1
NO_KIND = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EAFNOSUPPORT)
SETUP_FAILED = "failed to set up container networking: "


@dataclass(frozen=True, slots=True)
class SandboxTarget:
    """A sandbox that waits for its network: its namespace's descriptor, an rtnetlink socket opened inside it, and
    the pidfd of the monitor whose end means that the sandbox is gone (-1: nobody watches). All stay the caller's."""

    netns: int
    route: socket.socket
    monitor: int = -1


def connect(host: NetlinkSocket, plans: Sequence[EndpointPlan], target: SandboxTarget) -> None:
    """Make the interfaces and set them up; raises Internal. What is half made dies with the namespace."""
    try:
        host.transact([message for plan in plans for message in outside(plan, target.netns)])
        faults.done("start:interfaces")
        inside = NetlinkSocket(sock=target.route)
        messages = [netlink.set_up(_LOOPBACK_INDEX)]
        for plan in plans:
            messages += within(plan, _inner(inside, plan))
        inside.transact(messages)
    except OSError as error:
        raise refusal(plans, error) from error


def attach(host: NetlinkSocket, plan: EndpointPlan, target: SandboxTarget) -> None:
    """Add one interface to a sandbox that runs; raises Internal."""
    try:
        host.transact(outside(plan, target.netns))
        inside = NetlinkSocket(sock=target.route)
        inside.transact(within(plan, _inner(inside, plan)))
    except OSError as error:
        raise refusal([plan], error) from error


def lead_out(plans: Sequence[EndpointPlan], target: SandboxTarget) -> None:
    """Set the default routes of a sandbox that runs; raises Internal."""
    inside = NetlinkSocket(sock=target.route)
    try:
        for plan in plans:
            link = netlink.link(inside, plan.endpoint.interface)
            if link is not None and (messages := default_routes(plan, link.index)):
                inside.transact(messages)
    except OSError as error:
        raise refusal(plans, error) from error


def remove_inside(name: str, target: SandboxTarget) -> None:
    """Remove an interface from within; fine if it is gone. Raises Internal."""
    inside = NetlinkSocket(sock=target.route)
    try:
        link = netlink.link(inside, name)
        if link is not None:
            inside.transact([netlink.delete_link(link.index)])
    except OSError as error:
        raise Internal(f"cannot remove interface {name}: {error.strerror}") from error


def outside(plan: EndpointPlan, netns: int) -> list[Message]:
    """What the host's socket is sent: the interface, born in the namespace."""
    end = plan.endpoint
    if plan.sub is not None:
        return [sublinks.new_sub_link(plan.sub, end.interface, end.mac, netns)]
    peer = (end.interface, end.mac, netns)
    return netlink.new_veth(plan.veth, plan.bridge, plan.mtu, peer, plan.isolated)


def within(plan: EndpointPlan, link: Link) -> list[Message]:
    """What the namespace's socket is sent: up, addresses, default routes. Without an IPv6 address of its own the
    interface gets none by itself, which saves duplicate address detection."""
    end, index = plan.endpoint, link.index
    messages = [netlink.set_up(index, link_local=end.address6 is not None)]
    messages += [netlink.add_address(index, item) for item in (end.address, end.address6, *plan.more) if item]
    return messages + default_routes(plan, index)


def default_routes(plan: EndpointPlan, index: int) -> list[Message]:
    """The default routes that this interface is to carry, in place of those that are there."""
    end, messages = plan.endpoint, list[Message]()
    for gateway, address, carried, family in (
        (end.gateway, end.address, plan.default4, socket.AF_INET),
        (end.gateway6, end.address6, plan.default6, socket.AF_INET6),
    ):
        if not carried or gateway is None or address is None:
            continue
        if plan.device_route:
            messages.append(netlink.add_device_route(index, family))
        else:
            messages.append(netlink.set_default_route(gateway, index))
    return messages


def _inner(inside: NetlinkSocket, plan: EndpointPlan) -> Link:
    link = netlink.link(inside, plan.endpoint.interface)
    if link is None:
        raise Internal(f"{SETUP_FAILED}{plan.endpoint.interface} did not appear in the sandbox")
    return link


def refusal(plans: Sequence[EndpointPlan], error: OSError) -> WharfError:
    """What to tell of a set-up that failed; Docker's words where clients know them."""
    text = error.strerror or str(error)
    kinds = {plan.sub.kind for plan in plans if plan.sub is not None}
    if kinds and error.errno in NO_KIND:
        return NotImplementedYet(
            f"{SETUP_FAILED}this kernel has no {' and no '.join(sorted(kinds))} interfaces: {text}"
        )
    for plan in plans:
        mac, name = plan.endpoint.mac, plan.endpoint.interface
        what = ""
        if error.errno == errno.EADDRNOTAVAIL and int(mac[:2] or "0", 16) & 1:
            what = f'error setting interface "{plan.veth}" MAC to "{mac}"'
        elif len(name) > IFNAMSIZ or (error.errno == errno.EEXIST and name == "lo"):
            what = f'error renaming interface "{plan.veth}" to "{name[:80]}"'
        if what:
            said = os.strerror(error.errno or 0).lower()
            return Internal(f"{SETUP_FAILED}failed to add interface {plan.veth} to sandbox: {what}: {said}")
    return Internal(f"{SETUP_FAILED}{'; '.join(plan.describe() for plan in plans)}: {text}")


def loopback_up(route: socket.socket) -> None:
    """A sandbox without a network has its loopback all the same."""
    NetlinkSocket(sock=route).transact([netlink.set_up(_LOOPBACK_INDEX)])
