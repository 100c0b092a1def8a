"""One address and port of a network namespace led to other ports, packed by hand: `nft` would cost 6-12 ms a start.

    table ip <name> {
        chain answers { type filter hook output priority raw; ip saddr != <address> accept
            udp sport <udp port> udp sport set 53
            tcp sport <tcp port> tcp sport set 53 }
        chain questions { type filter hook output priority dstnat; ip daddr != <address> accept
            udp dport 53 udp dport set <udp port>
            tcp dport 53 tcp dport set <tcp port> } }

Ports are written into the packets, without address translation: that would switch on connection tracking for all that
the namespace sends and receives, a tenth of what a short connection costs. Where the container tracks connections for
rules of its own, it sees both ways with port 53: questions before they are changed (tracking has priority -200),
answers after.

Expressions are those that `nft --debug=netlink` shows for these rules; numbers: linux/netfilter/nf_tables.h.
"""

import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from wharf.kernel.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, Message, NetlinkSocket, attribute, nested
from wharf.kernel.nftables import NETLINK_NETFILTER

_NFPROTO_IPV4 = 2
_SUBSYSTEM, _BATCH_BEGIN, _BATCH_END = 10, 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = (_SUBSYSTEM << 8 | number for number in (0, 2, 3, 6))
_APPEND = 0x800
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE, _HOOK_NUMBER, _HOOK_PRIORITY = 1, 3, 4, 7, 1, 2
_RULE_TABLE, _RULE_CHAIN, _RULE_EXPRESSIONS, _ITEM, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2, 4, 1, 1, 2
_LOCAL_OUT, _PRIORITY_RAW, _PRIORITY_DSTNAT = 3, -300, -100
_REGISTER_VERDICT, _REGISTER_1, _DATA_VALUE, _DATA_VERDICT, _ACCEPT = 0, 1, 1, 2, 1
_META_PROTOCOL, _NETWORK_HEADER, _TRANSPORT_HEADER = 16, 1, 2
_EQUAL, _NOT_EQUAL = 0, 1
_SUM_OF_WORDS = 1
"""The kind of checksum that IP's protocols have (NFT_PAYLOAD_CSUM_INET)."""
_CHECKSUM_AT = {socket.IPPROTO_UDP: 6, socket.IPPROTO_TCP: 16}


@dataclass(frozen=True, slots=True)
class _Chain:
    """Packets of one address of ours, whose ports are exchanged. `address_at`, `port_at`: where the IP header and the
    transport header have them; `ports`: protocol -> what it is, what it becomes."""

    name: str
    priority: int
    address_at: int
    port_at: int
    ports: Mapping[int, tuple[int, int]]


def redirect(table: str, address: IPv4Address, port: int, targets: Mapping[int, int]) -> None:
    """Lead `port` of `address` to the ports of `targets` (protocol number -> port), in the namespace of the calling
    thread, in place of a table of this name that is there. One transaction; raises OSError."""
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    contents = _contents(table, address, port, targets)
    try:
        try:
            _transact(netlink, [_table(table, NLM_F_CREATE | NLM_F_EXCL), *contents])
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            # Apart from the usual way: a transaction that deletes waits for an RCU grace period, some 10 ms.
            anew = [_message(_DELETE_TABLE, _text(_TABLE_NAME, table)), _table(table, NLM_F_CREATE)]
            _transact(netlink, [*anew, *contents])
    finally:
        netlink.close()


def _table(table: str, flags: int) -> Message:
    return _message(_NEW_TABLE, _text(_TABLE_NAME, table), flags)


def _contents(table: str, address: IPv4Address, port: int, targets: Mapping[int, int]) -> list[Message]:
    there = {protocol: (port, target) for protocol, target in targets.items()}
    back = {protocol: (target, port) for protocol, target in targets.items()}
    chains = (
        _Chain("answers", _PRIORITY_RAW, address_at=12, port_at=0, ports=back),
        _Chain("questions", _PRIORITY_DSTNAT, address_at=16, port_at=2, ports=there),
    )
    return [message for chain in chains for message in _chain(table, chain, address)]


def _chain(table: str, chain: _Chain, address: IPv4Address) -> list[Message]:
    hook = nested(_CHAIN_HOOK, _number(_HOOK_NUMBER, _LOCAL_OUT), _number(_HOOK_PRIORITY, chain.priority))
    body = _text(_CHAIN_TABLE, table) + _text(_CHAIN_NAME, chain.name) + hook + _text(_CHAIN_TYPE, "filter")
    rules: list[tuple[bytes, ...]] = [
        (
            _expression("payload", _payload(_NETWORK_HEADER, chain.address_at, 4)),
            _expression("cmp", _compare(address.packed, _NOT_EQUAL)),
            _expression("immediate", _accept()),
        )
    ]
    rules += [
        (
            _expression("meta", _number(1, _REGISTER_1) + _number(2, _META_PROTOCOL)),
            _expression("cmp", _compare(bytes([protocol]))),
            _expression("payload", _payload(_TRANSPORT_HEADER, chain.port_at, 2)),
            _expression("cmp", _compare(old.to_bytes(2, "big"))),
            _expression("immediate", _immediate(new.to_bytes(2, "big"))),
            _expression("payload", _write(chain.port_at, 2, _CHECKSUM_AT[protocol])),
        )
        for protocol, (old, new) in chain.ports.items()
    ]
    head = _text(_RULE_TABLE, table) + _text(_RULE_CHAIN, chain.name)
    return [
        _message(_NEW_CHAIN, body, NLM_F_CREATE),
        *(
            _message(_NEW_RULE, head + nested(_RULE_EXPRESSIONS, *rule), NLM_F_CREATE | _APPEND) for rule in rules
        ),
    ]  # fmt: skip


def _transact(netlink: NetlinkSocket, messages: list[Message]) -> None:
    frame = struct.pack("=BB", socket.AF_UNSPEC, 0) + struct.pack(">H", _SUBSYSTEM)
    netlink.transact_batch(Message(_BATCH_BEGIN, frame, 0), messages, Message(_BATCH_END, frame, 0))


def _message(kind: int, body: bytes, flags: int = 0) -> Message:
    return Message(kind, struct.pack("=BBH", _NFPROTO_IPV4, 0, 0) + body, NLM_F_ACK | flags)


def _text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i", value))


def _expression(name: str, data: bytes) -> bytes:
    return nested(_ITEM, _text(_EXPRESSION_NAME, name), nested(_EXPRESSION_DATA, data))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _number(1, _REGISTER_1) + _number(2, base) + _number(3, offset) + _number(4, length)


def _write(offset: int, length: int, checksum_at: int) -> bytes:
    """Register 1 into the transport header, whose checksum follows."""
    where = _number(2, _TRANSPORT_HEADER) + _number(3, offset) + _number(4, length)
    return where + _number(5, _REGISTER_1) + _number(6, _SUM_OF_WORDS) + _number(7, checksum_at)


def _compare(value: bytes, operation: int = _EQUAL) -> bytes:
    return _number(1, _REGISTER_1) + _number(2, operation) + nested(3, attribute(_DATA_VALUE, value))


def _immediate(value: bytes) -> bytes:
    return _number(1, _REGISTER_1) + nested(2, attribute(_DATA_VALUE, value))


def _accept() -> bytes:
    return _number(1, _REGISTER_VERDICT) + nested(2, nested(_DATA_VERDICT, _number(1, _ACCEPT)))
