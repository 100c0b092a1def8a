"""Forgetting tracked UDP flows, so that a client which goes on sending meets the port as it is now.

A flow keeps the translation that it began with for as long as packets come. The kernel selects (CTA_FILTER, Linux
5.8; older ones send all, hence the second look here); layouts: linux/netfilter/nfnetlink_conntrack.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from wharf.kernel.netlink import Message, NetlinkSocket, attribute, attributes, nested
from wharf.kernel.nftables import NETLINK_NETFILTER

_GET, _DELETE = 1 << 8 | 1, 1 << 8 | 2
_ORIGINAL, _REPLY, _ID, _FILTER = 1, 2, 12, 25
_TUPLE_IP, _TUPLE_PROTO, _IP_SOURCE, _IP6_SOURCE = 1, 2, 1, 3
_PROTO_NUMBER, _PROTO_TARGET = 1, 3
_MATCH_SOURCE, _MATCH_PROTOCOL, _MATCH_TARGET_PORT = 1 << 0, 1 << 3, 1 << 5
"""CTA_FILTER_F_CTA_IP_SRC, _PROTO_NUM, _PROTO_DST_PORT (nf_internals.h); one bit for either family's address."""
_UDP = bytes([socket.IPPROTO_UDP])


@dataclass(frozen=True, slots=True)
class UdpFlows:
    """Which flows: those that wrote to host port `to_port`, or those that `answered_by` answers."""

    to_port: int = 0
    answered_by: IPv4Address | IPv6Address | None = None
    ipv6: bool = False

    @property
    def frame(self) -> bytes:
        return struct.pack("=BBH", socket.AF_INET6 if self.ipv6 else socket.AF_INET, 0, 0)

    @property
    def source(self) -> int:
        return _IP6_SOURCE if self.ipv6 else _IP_SOURCE


def forget(netlink: NetlinkSocket, flows: UdpFlows) -> int:
    """Delete the flows and return how many; raises OSError. The socket is of NETLINK_NETFILTER."""
    count = 0
    for body in netlink.dump(_GET, flows.frame + _selection(flows)):
        found = attributes(body, 4)
        if not _matches(found, flows):
            continue
        wanted = attribute(_ORIGINAL | 0x8000, found[_ORIGINAL]) + attribute(_ID, found[_ID])
        try:
            netlink.transact([Message(_DELETE, flows.frame + wanted)])
            count += 1
        except OSError as error:
            if error.errno != errno.ENOENT:  # it ran out meanwhile
                raise
    return count


def open_socket() -> NetlinkSocket:
    """A socket for `forget`."""
    return NetlinkSocket(NETLINK_NETFILTER)


def _selection(flows: UdpFlows) -> bytes:
    protocol = [attribute(_PROTO_NUMBER, _UDP)]
    if flows.answered_by is not None:
        source = nested(_TUPLE_IP, attribute(flows.source, flows.answered_by.packed))
        match = (0, _MATCH_SOURCE | _MATCH_PROTOCOL)
        chosen = nested(_REPLY, source, nested(_TUPLE_PROTO, *protocol))
    else:
        protocol.append(attribute(_PROTO_TARGET, struct.pack(">H", flows.to_port)))
        match = (_MATCH_PROTOCOL | _MATCH_TARGET_PORT, 0)
        chosen = nested(_ORIGINAL, nested(_TUPLE_PROTO, *protocol))
    flags = [attribute(kind, struct.pack("=I", value)) for kind, value in zip((1, 2), match, strict=True)]
    return chosen + nested(_FILTER, *flags)


def _matches(found: dict[int, bytes], flows: UdpFlows) -> bool:
    original, reply = attributes(found.get(_ORIGINAL, b"")), attributes(found.get(_REPLY, b""))
    protocol = attributes(original.get(_TUPLE_PROTO, b""))
    if protocol.get(_PROTO_NUMBER) != _UDP:
        return False
    if flows.answered_by is not None:
        return attributes(reply.get(_TUPLE_IP, b"")).get(flows.source) == flows.answered_by.packed
    return protocol.get(_PROTO_TARGET) == struct.pack(">H", flows.to_port)
