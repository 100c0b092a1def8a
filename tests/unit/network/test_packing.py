"""Netlink messages byte by byte, against what the kernel's headers say."""

import struct
from ipaddress import IPv4Address

import pytest

from wharf.kernel.netlink import add_default_route, attribute, attributes, nested
from wharf.network.netd import messages


def test_attributes_are_padded_and_read_back():
    packed = attribute(3, b"eth0\0") + nested(18, attribute(1, b"veth"))
    assert len(packed) % 4 == 0
    found = attributes(packed)
    assert found[3] == b"eth0\0" and attributes(found[18]) == {1: b"veth"}


@pytest.mark.parametrize("data", [b"", b"\x00", struct.pack("=HH", 0, 1), struct.pack("=HH", 3, 1) + b"x" * 9])
def test_broken_attributes_end_the_list(data):
    assert attributes(data) == {}


def test_default_route_message():
    message = add_default_route(IPv4Address("172.17.0.1"), 2)
    assert message.type == 24
    assert message.body[:12] == bytes([2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0])
    assert attributes(message.body, 12) == {5: bytes([172, 17, 0, 1]), 4: struct.pack("=i", 2)}


def test_messages_of_many_ports_fit():
    ports = [["sctp", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, 65535]] * messages.PORTS_PER_MESSAGE
    elements = [["published-on", ["ffffffff", "84", "ffff"]]] * messages.PORTS_PER_MESSAGE
    import json

    assert len(json.dumps({"ports": ports, "elements": elements, "id": "f" * 64})) < messages.MAX_MESSAGE
