"""The bridge on the host: make it, keep it, remove it; and the settings of the host that it needs."""

import errno
import os
import secrets
from ipaddress import IPv4Interface
from pathlib import Path

from wharf.errors import Unavailable
from wharf.kernel import netlink
from wharf.kernel.netlink import Link, NetlinkSocket
from wharf.network.plan import BridgePlan

_SYSCTL = Path("/proc/sys/net")


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
    return found[0] if found else None


def apply(route: NetlinkSocket, plan: BridgePlan) -> Link:
    """Make the bridge as planned and return it; raises Unavailable with the step that failed."""
    try:
        link = netlink.link(route, plan.name)
        if link is not None and not plan.found:
            _delete(route, link)
            link = None
        if link is None:
            route.transact([netlink.new_bridge(plan.name, random_mac(), plan.mtu)])
            link = netlink.link(route, plan.name)
            if link is None:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            route.transact([netlink.add_address(link.index, plan.address)])
        # Container traffic to the host's published loopback ports comes back with 127.0.0.1 as its address: only
        # on this bridge may it be routed. The firewall drops what others send to 127/8 (see firewall.py).
        write_sysctl(f"ipv4/conf/{plan.name}/route_localnet", "1")
        route.transact([netlink.set_up(link.index)])
    except OSError as error:
        raise Unavailable(f"cannot {plan.describe()}: {error.strerror or error}") from error
    return link


def remove(route: NetlinkSocket, name: str) -> None:
    """Remove the bridge if it is there."""
    link = netlink.link(route, name)
    if link is not None and link.kind == "bridge":
        _delete(route, link)


def remove_veths(route: NetlinkSocket, prefix: str, keep: set[str]) -> list[str]:
    """Remove own host ends that no running container has; returns their names. For start-up, not the hot path."""
    removed = []
    for link in netlink.links(route):
        if link.name.startswith(prefix) and link.kind == "veth" and link.name not in keep:
            _delete(route, link)
            removed.append(link.name)
    return removed


def remove_veth(route: NetlinkSocket, name: str) -> None:
    """Remove one host end; one that is gone is fine."""
    link = netlink.link(route, name)
    if link is not None and link.kind == "veth":
        _delete(route, link)


def _delete(route: NetlinkSocket, link: Link) -> None:
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
