"""One address and port of a network namespace led to other ports, packed by hand: `nft` would cost 6-12 ms a start.

    table ip <name> { chain output { type nat hook output priority dstnat;
        ip daddr <address> udp dport 53 dnat to <address>:<udp port>
        ip daddr <address> tcp dport 53 dnat to <address>:<tcp port> } }

Expressions are those that `nft --debug=netlink` shows for these rules; numbers: linux/netfilter/nf_tables.h.
"""

import errno
import socket
import struct
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
_LOCAL_OUT, _PRIORITY_DSTNAT = 3, -100
_REGISTER_1, _REGISTER_2, _DATA_VALUE = 1, 2, 1
_META_PROTOCOL, _NETWORK_HEADER, _TRANSPORT_HEADER = 16, 1, 2
_IP_DESTINATION, _PORT_DESTINATION = 16, 2
_EQUAL, _DNAT = 0, 1


def redirect(table: str, address: IPv4Address, port: int, targets: dict[int, int]) -> None:
    """Lead `port` of `address` to the ports of `targets` (protocol number -> port), in the namespace of the calling
    thread, in place of a table of this name that is there. One transaction; raises OSError."""
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    try:
        try:
            _transact(netlink, [_table(table, NLM_F_CREATE | NLM_F_EXCL), *_contents(table, address, port, targets)])
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            # Apart from the usual way: a transaction that deletes waits for an RCU grace period, some 10 ms.
            anew = [_message(_DELETE_TABLE, _text(_TABLE_NAME, table)), _table(table, NLM_F_CREATE)]
            _transact(netlink, [*anew, *_contents(table, address, port, targets)])
    finally:
        netlink.close()


def _table(table: str, flags: int) -> Message:
    return _message(_NEW_TABLE, _text(_TABLE_NAME, table), flags)


def _contents(table: str, address: IPv4Address, port: int, targets: dict[int, int]) -> list[Message]:
    chain = nested(_CHAIN_HOOK, _number(_HOOK_NUMBER, _LOCAL_OUT), _number(_HOOK_PRIORITY, _PRIORITY_DSTNAT))
    body = _text(_CHAIN_TABLE, table) + _text(_CHAIN_NAME, "output") + chain + _text(_CHAIN_TYPE, "nat")
    messages = [_message(_NEW_CHAIN, body, NLM_F_CREATE)]
    for protocol, target in targets.items():
        rule = nested(
            _RULE_EXPRESSIONS,
            _expression("payload", _payload(_NETWORK_HEADER, _IP_DESTINATION, 4)),
            _expression("cmp", _compare(address.packed)),
            _expression("meta", _number(1, _REGISTER_1) + _number(2, _META_PROTOCOL)),
            _expression("cmp", _compare(bytes([protocol]))),
            _expression("payload", _payload(_TRANSPORT_HEADER, _PORT_DESTINATION, 2)),
            _expression("cmp", _compare(port.to_bytes(2, "big"))),
            _expression("immediate", _immediate(_REGISTER_1, address.packed)),
            _expression("immediate", _immediate(_REGISTER_2, target.to_bytes(2, "big"))),
            _expression("nat", _nat()),
        )
        body = _text(_RULE_TABLE, table) + _text(_RULE_CHAIN, "output") + rule
        messages.append(_message(_NEW_RULE, body, NLM_F_CREATE | _APPEND))
    return messages


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


def _compare(value: bytes) -> bytes:
    return _number(1, _REGISTER_1) + _number(2, _EQUAL) + nested(3, attribute(_DATA_VALUE, value))


def _immediate(register: int, value: bytes) -> bytes:
    return _number(1, register) + nested(2, attribute(_DATA_VALUE, value))


def _nat() -> bytes:
    return (
        _number(1, _DNAT)
        + _number(2, _NFPROTO_IPV4)
        + _number(3, _REGISTER_1)
        + _number(4, _REGISTER_1)
        + _number(5, _REGISTER_2)
        + _number(6, _REGISTER_2)
    )
