"""The bridge on the host: make it, keep it, remove it; and the settings of the host that it needs."""

import errno
import os
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface
from pathlib import Path
from socket import AF_INET, AF_INET6

from wharf.errors import Unavailable
from wharf.kernel import netlink
from wharf.kernel.netlink import Link, NetlinkSocket
from wharf.network.names import Names
from wharf.network.plan import BridgePlan

_SYSCTL = Path("/proc/sys/net")
_TOGETHER = 50
"""Interfaces from this many on are removed at once; and how many go into one packet."""


def random_mac() -> str:
    """A locally administered unicast address (bit 1 of the first byte set, bit 0 clear; IEEE 802)."""
    raw = bytearray(secrets.token_bytes(6))
    raw[0] = raw[0] & 0xFC | 0x02
    return raw.hex(":")


def present_address(route: NetlinkSocket, name: str) -> IPv4Interface | None:
    """The first IPv4 address of a bridge that is there, else None; raises Unavailable if the name is another kind."""
    link = netlink.link(route, name)
    if link is None:
        return None
    if link.kind != "bridge":
        raise Unavailable(f"interface {name} exists and is no bridge; remove it or give wharfd another data root")
    found = [address for index, address in netlink.addresses(route) if index == link.index]
    return IPv4Interface(found[0]) if found else None


def apply(route: NetlinkSocket, plan: BridgePlan) -> Link:
    """Make the bridge as planned and return it; raises Unavailable with the step that failed."""
    try:
        link = netlink.link(route, plan.name)
        if link is not None and not plan.found:
            delete(route, link)
            link = None
        if link is None:
            route.transact(netlink.new_bridge(plan.name, random_mac(), plan.mtu, plan.mark))
            link = netlink.link(route, plan.name)
            if link is None:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            route.transact([netlink.add_address(link.index, item) for item in (plan.address, plan.address6) if item])
        elif plan.address6:
            _add_address(route, link, plan.address6)  # one kept for the containers on it, from before it had IPv6
        # Container traffic to the host's published loopback ports comes back with 127.0.0.1 as its address: only
        # on this bridge may it be routed. The firewall drops what others send to 127/8 (see firewall.py).
        if plan.address:
            write_sysctl(f"ipv4/conf/{plan.name}/route_localnet", "1")
        # Routers among containers do not tell the host its routes.
        if read_sysctl(f"ipv6/conf/{plan.name}/accept_ra"):
            write_sysctl(f"ipv6/conf/{plan.name}/accept_ra", "0")
        # A host whose own link-local address is not yet decided asks no neighbour for its address: without this, the
        # first second of a network's life is lost for what is forwarded to it.
        if plan.address6 and read_sysctl(f"ipv6/conf/{plan.name}/accept_dad"):
            write_sysctl(f"ipv6/conf/{plan.name}/accept_dad", "0")
        if plan.closed:
            _close(route, plan.name)
        route.transact([netlink.set_up(link.index)])
    except OSError as error:
        raise Unavailable(f"cannot {plan.describe()}: {error.strerror or error}") from error
    return link


def _add_address(route: NetlinkSocket, link: Link, address: netlink.Interface) -> None:
    try:
        route.transact([netlink.add_address(link.index, address)])
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def shows_frames() -> bool:
    """Whether this kernel can show bridged frames to the packet filter (br_netfilter)."""
    return bool(read_sysctl("bridge/bridge-nf-call-iptables"))


def _close(route: NetlinkSocket, name: str) -> None:
    """Make frames between the bridge's ports the packet filter's affair. Without br_netfilter the ports are isolated
    from one another (EndpointPlan.isolated), and the host answers ARP for all neighbours: what they have to say to one
    another comes by the host, as packets (RFC 3069, proxy_arp_pvlan)."""
    if shows_frames():
        route.transact([netlink.filter_frames(name)])
    else:
        write_sysctl(f"ipv4/conf/{name}/proxy_arp_pvlan", "1")
        write_sysctl(f"ipv4/conf/{name}/send_redirects", "0")


def addresses_by_link(route: NetlinkSocket) -> dict[int, set[netlink.Interface]]:
    """All addresses of the host by the index of their interface."""
    found: dict[int, set[netlink.Interface]] = {}
    for family in (AF_INET, AF_INET6):
        for index, address in netlink.addresses(route, family):
            found.setdefault(index, set()).add(address)
    return found


def present(
    route: NetlinkSocket, plan: BridgePlan, known: Mapping[int, set[netlink.Interface]] | None = None
) -> BridgePlan:
    """The plan for a bridge of a user-defined network, kept where one with its addresses is there already.

    `known`: the addresses of the host, for one who asks for many bridges. Raises Unavailable where the name is taken by
    an interface of another kind.
    """
    link = netlink.link(route, plan.name)
    if link is None:
        return plan
    if link.kind != "bridge":
        raise Unavailable(f"interface {plan.name} exists and is no bridge")
    if link.alias != plan.mark:  # the administrator's: it is used as it is
        return replace(plan, found=True)
    found = (addresses_by_link(route) if known is None else known).get(link.index, set())
    return replace(plan, found={item for item in (plan.address, plan.address6) if item} <= found)


def remove_marked(route: NetlinkSocket, names: Names, keep: Collection[str]) -> list[str]:
    """Remove what this instance made for networks (bridges, dummies, VLANs) that are not in `keep`; their names."""
    links = netlink.links(route)
    ours = [link for link in links if (found := names.marked(link.alias)) and found not in keep]
    if len(ours) < _TOGETHER:
        for link in ours:
            delete(route, link)
    else:
        _delete_together(route, ours, {link.group for link in links})
    return [link.name for link in ours]


def _delete_together(route: NetlinkSocket, links: Sequence[Link], groups: set[int]) -> None:
    """Remove many interfaces in one request, under a group number that nobody else has."""
    while (group := secrets.randbits(31)) in groups | {0}:
        pass
    for start in range(0, len(links), _TOGETHER):
        route.transact([netlink.put_in_group(link.index, group) for link in links[start : start + _TOGETHER]])
    route.transact([netlink.delete_group(group)])


def remove(route: NetlinkSocket, name: str) -> None:
    """Remove the bridge if it is there."""
    link = netlink.link(route, name)
    if link is not None and link.kind == "bridge":
        delete(route, link)


def remove_veths(route: NetlinkSocket, prefix: str, keep: set[str]) -> list[str]:
    """Remove own host ends that no running container has; returns their names. For start-up, not the hot path."""
    removed = []
    for link in netlink.links(route):
        if link.name.startswith(prefix) and link.kind == "veth" and link.name not in keep:
            delete(route, link)
            removed.append(link.name)
    return removed


def remove_veth(route: NetlinkSocket, name: str) -> None:
    """Remove one host end; one that is gone is fine."""
    link = netlink.link(route, name)
    if link is not None and link.kind == "veth":
        delete(route, link)


def delete(route: NetlinkSocket, link: Link) -> None:
    try:
        route.transact([netlink.delete_link(link.index)])
    except OSError as error:
        if error.errno != errno.ENODEV:  # it went by itself: its namespace died meanwhile
            raise


def read_sysctl(name: str) -> str:
    """A value beneath /proc/sys/net, or "" where this kernel has none."""
    try:
        return (_SYSCTL / name).read_text().strip()
    except FileNotFoundError:
        return ""


def write_sysctl(name: str, value: str) -> bool:
    """Set a value beneath /proc/sys/net unless it is set already; True if it was changed. Raises OSError."""
    if read_sysctl(name) == value:
        return False
    (_SYSCTL / name).write_text(value)
    return True
