"""Netlink packed by hand: the socket, and the rtnetlink messages that bridges and veth pairs need.

Why no library: a general one costs 13 ms on the start path and 33 MB (docs/performance.md). Layouts are those of
netlink(7), rtnetlink(7), linux/if_link.h and linux/if_bridge.h; everything is host byte order but addresses.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_TYPE_MASK, NLA_F_NESTED = 0x3FFF, 0x8000

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 20, 22, 24, 25, 26

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_IFALIAS, _IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD = 20, 26, 27, 28
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER, _BRPORT_HAIRPIN, _BRPORT_ISOLATED, _INET6_ADDR_GEN_MODE = 1, 4, 33, 8
_BR_NF_CALL_IPTABLES, _BR_NF_CALL_IP6TABLES = 36, 37
_IFA_F_NODAD = 0x02
Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
_ADDR_GEN_NONE = b"\x01"
_IFF_UP = 1
_ARPHRD_LOOPBACK = 772
_HEADER = struct.Struct("=IHHII")
_IFINFO = struct.Struct("=BxHiII")

_SOL_NETLINK, _NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 270, 10, 11
_REPLY_SECONDS = 10.0
"""The kernel answers in microseconds; a longer wait means that rtnl_lock is held by something stuck."""


@dataclass(frozen=True, slots=True)
class Message:
    """One request: its type, its flags beside NLM_F_REQUEST, its body after the netlink header."""

    type: int
    body: bytes
    flags: int = NLM_F_ACK


@dataclass(frozen=True, slots=True)
class Link:
    """An interface. `kind` is `bridge`, `veth`, … or ""; `master` the index of the bridge it belongs to, or 0."""

    index: int
    name: str
    up: bool
    kind: str = ""
    master: int = 0
    mac: str = ""
    mtu: int = 0
    alias: str = ""
    loopback: bool = False
    group: int = 0


class NetlinkSocket:
    """A netlink socket that several threads may use; one request is on the wire at a time."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE, sock: socket.socket | None = None) -> None:
        """Open a socket here, or take one that was opened inside another network namespace (it stays there)."""
        self._socket = sock or socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_REPLY_SECONDS)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._lock = threading.Lock()
        self._sequence = 0

    def transact(self, messages: Sequence[Message]) -> None:
        """Send all in one packet and wait for the answers of those that ask for one; raises OSError with the
        kernel's own words. The messages after a failed one are applied all the same (rtnetlink has no rollback)."""
        if not messages:
            return
        with self._lock:
            waiting = self._send(messages)
            failure: OSError | None = None
            while waiting:
                for kind, _, sequence, payload in self._receive():
                    if kind == NLMSG_ERROR and sequence in waiting:
                        waiting.discard(sequence)
                        failure = failure or _failure(payload)
            if failure:
                raise failure

    def transact_batch(self, begin: Message, messages: Sequence[Message], end: Message) -> None:
        """One nfnetlink transaction: all or nothing. Only the last message asks for an answer (a long list of
        answers would overflow the socket); errors of others come before it."""
        batch = [begin, *(Message(m.type, m.body, m.flags & ~NLM_F_ACK) for m in messages[:-1])]
        batch += [Message(messages[-1].type, messages[-1].body, messages[-1].flags | NLM_F_ACK), end]
        with self._lock:
            (last,) = self._send(batch)
            first = last - len(messages)
            failure: OSError | None = None
            while True:
                for kind, _, sequence, payload in self._receive():
                    if kind != NLMSG_ERROR or not first <= sequence <= last:
                        continue
                    failure = failure or _failure(payload)
                    if failure and sequence in (first, last):
                        raise failure
                    if sequence == last:
                        return

    def dump(self, kind: int, body: bytes, flags: int = NLM_F_DUMP) -> Iterator[bytes]:
        """Answers' bodies of one dump (or of one plain get with flags=0)."""
        with self._lock:
            self._send([Message(kind, body, flags)])
            wanted, bodies, done = self._sequence, list[bytes](), False
            while not done:
                for answer, _, sequence, payload in self._receive():
                    if sequence != wanted:
                        continue
                    if answer == NLMSG_ERROR and (failure := _failure(payload)):
                        raise failure
                    if answer in (NLMSG_DONE, NLMSG_ERROR):
                        done = True
                    else:
                        bodies.append(payload)
                        done = not flags & NLM_F_DUMP
        yield from bodies

    def close(self) -> None:
        self._socket.close()

    def _send(self, messages: Sequence[Message]) -> set[int]:
        waiting, packet = set(), []
        for message in messages:
            self._sequence += 1
            flags = message.flags | NLM_F_REQUEST
            packet.append(_HEADER.pack(16 + len(message.body), message.type, flags, self._sequence, 0) + message.body)
            if message.flags & NLM_F_ACK and message.flags & NLM_F_DUMP != NLM_F_DUMP:
                waiting.add(self._sequence)
        self._socket.send(b"".join(packet))
        return waiting

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data, offset = self._socket.recv(1 << 17), 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
            yield kind, flags, sequence, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3


def _failure(payload: bytes) -> OSError | None:
    """The error of an NLMSG_ERROR, with the extended answer's text where the kernel gives one (NLMSGERR_ATTR_MSG)."""
    (code,) = struct.unpack_from("=i", payload)
    if code == 0:
        return None
    text = os.strerror(-code)
    if said := attributes(payload, 20).get(1):
        text += f" ({said.rstrip(bytes(1)).decode(errors='replace')})"
    return OSError(-code, text)


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Attributes by kind; a repeated kind keeps its last value."""
    found = {}
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def mac_bytes(mac: str) -> bytes:
    """`02:42:…` as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def link_name(name: str) -> bytes:
    """The attribute that names an interface."""
    return attribute(_IFLA_IFNAME, name.encode() + b"\0")


def link_message(kind: int, flags: int, body: bytes, index: int = 0, up: bool = False) -> Message:
    """A message about an interface, by index or by the name in its body; `up` brings it up."""
    state = _IFF_UP if up else 0
    return Message(kind, _IFINFO.pack(0, 0, index, state, state) + body, NLM_F_ACK | flags)


def new_bridge(name: str, mac: str, mtu: int, alias: str = "") -> list[Message]:
    """Create a bridge. A fixed MAC: otherwise it would take the lowest of its ports' and change as they come.

    `alias` tells whose it is. It is only taken once the interface exists, hence a second message; both go in one send,
    which the kernel serves before it looks at a signal: no killed process leaves a bridge that nobody knows.
    """
    body = link_name(name) + attribute(_IFLA_MTU, struct.pack("=I", mtu)) + attribute(_IFLA_ADDRESS, mac_bytes(mac))
    info = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"bridge"))
    messages = [link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body + info)]
    if alias:
        messages.append(link_message(RTM_NEWLINK, 0, link_name(name) + attribute(_IFLA_IFALIAS, alias.encode())))
    return messages


def filter_frames(name: str) -> Message:
    """Let the packet filter see what passes a bridge, whatever bridge-nf-call-iptables and -ip6tables say."""
    data = nested(_INFO_DATA, attribute(_BR_NF_CALL_IPTABLES, b"\x01"), attribute(_BR_NF_CALL_IP6TABLES, b"\x01"))
    info = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, b"bridge"), data)
    return link_message(RTM_NEWLINK, 0, link_name(name) + info)


def new_veth(name: str, bridge: int, mtu: int, peer: tuple[str, str, int], isolated: bool = False) -> list[Message]:
    """A veth pair: the host end on the bridge, the peer (name, MAC, network namespace's descriptor) inside.

    The second message switches hairpin on (a container reaches its own published port through the bridge where
    bridge-nf-call-iptables is 1) and the port up; it has no IPv6 address of its own, which saves duplicate address
    detection on every start. Port attributes are only taken once the port exists, hence two messages. `isolated`: the
    bridge passes no frame between this port and another isolated one.
    """
    peer_name, peer_mac, netns = peer
    size = attribute(_IFLA_MTU, struct.pack("=I", mtu))
    inner = _IFINFO.pack(0, 0, 0, 0, 0) + link_name(peer_name) + size + attribute(_IFLA_ADDRESS, mac_bytes(peer_mac))
    inner += attribute(_IFLA_NET_NS_FD, struct.pack("=i", netns))
    info = nested(
        _IFLA_LINKINFO, attribute(_INFO_KIND, b"veth"), nested(_INFO_DATA, attribute(_VETH_PEER | NLA_F_NESTED, inner))
    )
    body = link_name(name) + size + attribute(_IFLA_MASTER, struct.pack("=i", bridge)) + info
    port = nested(
        _IFLA_LINKINFO,
        attribute(_INFO_SLAVE_KIND, b"bridge"),
        nested(_INFO_SLAVE_DATA, attribute(_BRPORT_HAIRPIN, b"\x01"), *_isolation(isolated)),
    )
    return [
        link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body),
        link_message(RTM_NEWLINK, 0, link_name(name) + _no_link_local() + port, up=True),
    ]


def _isolation(isolated: bool) -> list[bytes]:
    return [attribute(_BRPORT_ISOLATED, b"\x01")] if isolated else []


def _no_link_local() -> bytes:
    mode = attribute(_INET6_ADDR_GEN_MODE, _ADDR_GEN_NONE)
    return nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))


def set_up(index: int, link_local: bool = True) -> Message:
    """Bring an interface up; `link_local` False: IPv6 gives it no address by itself."""
    return link_message(RTM_NEWLINK, 0, b"" if link_local else _no_link_local(), index=index, up=True)


def put_in_group(index: int, group: int) -> Message:
    """Give an interface a group number (0 is everybody's)."""
    return link_message(RTM_SETLINK, 0, attribute(_IFLA_GROUP, struct.pack("=I", group)), index=index)


def delete_group(group: int) -> Message:
    """Remove all interfaces of a group at once: the kernel waits once for all of them."""
    return link_message(RTM_DELLINK, 0, attribute(_IFLA_GROUP, struct.pack("=I", group)))


def delete_link(index: int) -> Message:
    """Remove an interface; blocks 15-27 ms for a veth, so never on the way of a start or a removal."""
    return link_message(RTM_DELLINK, 0, b"", index=index)


def add_address(index: int, address: Interface) -> Message:
    """Give an interface an address. IPv6 ones are used at once, without duplicate address detection: who gave them out
    knows that they are free."""
    packed = address.ip.packed
    family, flags = (socket.AF_INET, 0) if address.version == 4 else (socket.AF_INET6, _IFA_F_NODAD)
    head = struct.pack("=BBBBi", family, address.network.prefixlen, flags, 0, index)
    body = head + attribute(2, packed) + attribute(1, packed)
    if address.version == 4:
        body += attribute(4, address.network.broadcast_address.packed)
    return Message(RTM_NEWADDR, body, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)


def add_default_route(gateway: Address, index: int) -> Message:
    """`default via <gateway> dev <index>` in the main table (table 254, protocol boot 3, universe 0, unicast 1)."""
    return _default_route(RTM_NEWROUTE, gateway, index, NLM_F_CREATE | NLM_F_EXCL)


def set_default_route(gateway: Address, index: int) -> Message:
    """As `add_default_route`, in place of the one that is there."""
    return _default_route(RTM_NEWROUTE, gateway, index, NLM_F_CREATE | NLM_F_REPLACE)


def delete_default_route(family: int) -> Message:
    """Remove the default route of a family from the main table; ESRCH when there is none."""
    return Message(RTM_DELROUTE, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 0, 255, 0, 0))


def _default_route(kind: int, gateway: Address, index: int, flags: int) -> Message:
    family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
    head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 3, 0, 1, 0)
    body = head + attribute(5, gateway.packed) + attribute(4, struct.pack("=i", index))
    return Message(kind, body, NLM_F_ACK | flags)


def add_device_route(index: int, family: int) -> Message:
    """`default dev <index>`: everything is asked for on the wire (scope link 253 for IPv4)."""
    scope = 253 if family == socket.AF_INET else 0
    head = struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 3, scope, 1, 0)
    return Message(
        RTM_NEWROUTE, head + attribute(4, struct.pack("=i", index)), NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
    )


def links(netlink: NetlinkSocket) -> list[Link]:
    """All interfaces of the socket's namespace."""
    return [_parse_link(body) for body in netlink.dump(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0))]


def link(netlink: NetlinkSocket, name: str) -> Link | None:
    """The interface of that name, or None."""
    try:
        (body,) = netlink.dump(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0) + link_name(name), flags=0)
    except OSError as error:
        if error.errno in (errno.ENODEV, errno.ENOENT):
            return None
        raise
    return _parse_link(body)


def _parse_link(body: bytes) -> Link:
    _, device, index, flags, _ = _IFINFO.unpack_from(body)
    found = attributes(body, _IFINFO.size)
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(),
        up=bool(flags & _IFF_UP),
        kind=info.get(_INFO_KIND, b"").rstrip(b"\0").decode(),
        master=struct.unpack("=I", found.get(_IFLA_MASTER, bytes(4)))[0],
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        mtu=struct.unpack("=I", found.get(_IFLA_MTU, bytes(4)))[0],
        alias=found.get(_IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
        loopback=device == _ARPHRD_LOOPBACK,
        group=struct.unpack("=I", found.get(_IFLA_GROUP, bytes(4)))[0],
    )


def addresses(netlink: NetlinkSocket, family: int = socket.AF_INET) -> list[tuple[int, Interface]]:
    """Addresses of one family as (interface index, address with prefix)."""
    found = []
    for body in netlink.dump(RTM_GETADDR, struct.pack("=BBBBi", family, 0, 0, 0, 0)):
        _, prefix, _, _, index = struct.unpack_from("=BBBBi", body)
        values = attributes(body, 8)
        packed = values.get(2, values.get(1))
        if body[0] == family and packed:
            found.append((index, ip_interface((packed, prefix))))
    return found


def routes(netlink: NetlinkSocket, family: int = socket.AF_INET) -> list[Network]:
    """Destinations of all unicast routes of all tables but the default routes and the host's own addresses."""
    found = []
    for body in netlink.dump(RTM_GETROUTE, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 0, 0, 0, 0, 0)):
        prefix, kind = body[1], body[7]
        destination = attributes(body, 12).get(1)
        if body[0] == family and kind == 1 and prefix and destination:
            found.append(ip_network((destination, prefix)))
    return found
