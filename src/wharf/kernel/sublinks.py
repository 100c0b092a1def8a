"""rtnetlink messages for interfaces on top of another: macvlan, ipvlan, VLANs, and dummies to put them on.

Layouts: linux/if_link.h (IFLA_MACVLAN_*, IFLA_IPVLAN_*, IFLA_VLAN_*). What every kernel may lack: EOPNOTSUPP.
"""

import struct
from dataclasses import dataclass

from wharf.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    RTM_NEWLINK,
    Message,
    attribute,
    link_message,
    link_name,
    mac_bytes,
    nested,
)

_IFLA_ADDRESS, _IFLA_MTU, _IFLA_LINK, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 1, 4, 5, 18, 20, 28
_INFO_KIND, _INFO_DATA = 1, 2
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}


@dataclass(frozen=True, slots=True)
class SubLink:
    """An interface that shares another's wire: `kind` macvlan or ipvlan, `parent` its index, numbers of the modes
    above; `mtu` 0 means the parent's."""

    kind: str
    parent: int
    mode: int
    flags: int = 0
    mtu: int = 0


def new_sub_link(link: SubLink, name: str, mac: str, netns: int) -> Message:
    """Create a macvlan or ipvlan interface, born in the namespace; "" for `mac` leaves it to the kernel."""
    if link.kind == "macvlan":
        data = attribute(1, struct.pack("=I", link.mode))
    else:
        data = attribute(1, struct.pack("=H", link.mode)) + attribute(2, struct.pack("=H", link.flags))
    body = link_name(name) + attribute(_IFLA_LINK, struct.pack("=I", link.parent))
    if link.mtu:
        body += attribute(_IFLA_MTU, struct.pack("=I", link.mtu))
    if mac:
        body += attribute(_IFLA_ADDRESS, mac_bytes(mac))
    body += attribute(_IFLA_NET_NS_FD, struct.pack("=i", netns))
    body += nested(_IFLA_LINKINFO, attribute(_INFO_KIND, link.kind.encode()), nested(_INFO_DATA, data))
    return link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body)


def probe(kind: str) -> Message:
    """A request for a macvlan or ipvlan interface on nothing: never made, EINVAL where the kernel knows the kind,
    EOPNOTSUPP where it does not."""
    info = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, kind.encode()))
    return link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, info)


def new_dummy(name: str, alias: str) -> list[Message]:
    """Create a dummy interface, up, marked as `new_bridge` does."""
    info = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"dummy"))
    return [
        link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link_name(name) + info),
        link_message(RTM_NEWLINK, 0, link_name(name) + attribute(_IFLA_IFALIAS, alias.encode()), up=True),
    ]


def new_vlan(name: str, parent: int, number: int, alias: str) -> list[Message]:
    """Create the 802.1Q interface `name` for VLAN `number` on an interface, up, marked as `new_bridge` does."""
    data = nested(_INFO_DATA, attribute(1, struct.pack("=H", number)))
    body = link_name(name) + attribute(_IFLA_LINK, struct.pack("=I", parent))
    body += nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"vlan"), data)
    return [
        link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body),
        link_message(RTM_NEWLINK, 0, link_name(name) + attribute(_IFLA_IFALIAS, alias.encode()), up=True),
    ]
