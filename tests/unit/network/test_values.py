"""Ports, pools and endpoints as values."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from wharf.errors import Invalid
from wharf.spec.container import PortBinding
from wharf.spec.network import (
    AddressPool,
    Endpoint,
    Port,
    PortRequest,
    PublishedPort,
    parse_port_bindings,
    port_map,
)

PORTS = (
    PublishedPort(Port(80), "0.0.0.0", 8080),
    PublishedPort(Port(80), "::", 8080),
    PublishedPort(Port(53, "udp"), "127.0.0.1", 53),
)


def test_port_bindings_become_requests_in_order():
    asked = {"443/tcp": None, "80/tcp": [PortBinding("", "8080"), PortBinding("[::1]", "90-95")], "53/udp": []}
    assert parse_port_bindings(asked) == (
        PortRequest(Port(53, "udp"), None),
        PortRequest(Port(80), None, 8080, 8080),
        PortRequest(Port(80), "::1", 90, 95),
        PortRequest(Port(443), None),
    )
    assert parse_port_bindings(None) == ()


@pytest.mark.parametrize(
    "port, binding",
    [
        ("0", PortBinding()),
        ("65536/tcp", PortBinding()),
        ("80/icmp", PortBinding()),
        ("80-90/tcp", PortBinding()),
        ("eighty", PortBinding()),
        ("８０", PortBinding()),
        ("80", PortBinding("localhost", "80")),
        ("80", PortBinding("1.2.3.4.5", "80")),
        ("80", PortBinding("", "90-80")),
        ("80", PortBinding("", "-1")),
        ("80", PortBinding("", "1" * 5000)),
    ],
)
def test_bad_bindings_are_refused(port, binding):
    with pytest.raises(Invalid):
        parse_port_bindings({port: [binding]})


def test_ports_shown_as_docker_does():
    assert port_map(PORTS, ["80/tcp", "9/tcp"]) == {
        "9/tcp": None,
        "53/udp": [PortBinding("127.0.0.1", "53")],
        "80/tcp": [PortBinding("0.0.0.0", "8080"), PortBinding("::", "8080")],
    }


def test_endpoint_survives_its_record():
    endpoint = Endpoint(
        "e" * 64, "n" * 64, "bridge", "s", IPv4Interface("172.17.0.2/16"), IPv4Address("172.17.0.1"), "02:0:0:0:0:1"
    )
    published = Endpoint.from_settings("bridge", "s", endpoint.settings(), port_map(PORTS))
    assert {str(p.port) for p in published.ports} == {"80/tcp", "53/udp"} and len(published.ports) == 3
    assert Endpoint.from_settings("bridge", "s", endpoint.settings(), {}) == endpoint


def test_pools():
    assert AddressPool.parse("base=10.10.0.0/16,size=24") == AddressPool(IPv4Network("10.10.0.0/16"), 24)
    for text in ("", "base=10.0.0.0/16", "base=10.0.0.1/16,size=24", "base=10.0.0.0/16,size=8", "base=x,size=24"):
        with pytest.raises(Invalid):
            AddressPool.parse(text)
