"""The host's own settings: forwarding, routes from routers, the way through other programs' filters."""

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from tests.system.network.bridges import load, run
from tests.system.network.lab import Lab, inside
from wharf.errors import Unavailable
from wharf.network.forwarding import DISABLED
from wharf.network.host_rules import HostRules
from wharf.network.names import Names
from wharf.spec.network import BridgeFacts

FOUR = BridgeFacts("a" * 64, "four", "br-a", IPv4Network("172.30.1.0/24"), IPv4Address("172.30.1.1"))
SIX = replace(FOUR, name="six", subnet6=IPv6Network("fd30::/64"), gateway6=IPv6Address("fd30::1"))
DROP = "table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop;\n}\n}"


def setting(name: str) -> str:
    return Path("/proc/sys/net", name).read_text().strip()


def advertise(lab: Lab) -> None:
    """A router's advertisement from outside (RFC 4861, 4.2), and wait until the host has its default route."""
    with inside(lab.outside), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as router:
        index = socket.if_nametoindex("eth0")
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        deadline = time.monotonic() + 20
        with inside(lab.host):
            while not routes():
                assert time.monotonic() < deadline, "the host takes no route from the advertisement"
                try:
                    router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, index))
                except OSError:  # the link-local address is being looked whether it is free
                    pass
                time.sleep(0.05)


def routes() -> str:
    return run("ip", "-6", "route", "show", "default")


@pytest.fixture
def said(lab: Lab) -> list[str]:
    for name, value in (("ipv4/ip_forward", "0"), ("ipv6/conf/all/forwarding", "0"), ("ipv6/conf/eth0/accept_ra", "1")):
        Path("/proc/sys/net", name).write_text(value)
    return []


@pytest.fixture
def rules(said: list[str]) -> Iterator[HostRules]:
    made = HostRules(Names(""), True, False, said.append)
    yield made
    made.remove()
    made.close()


def test_ipv4_is_switched_on_at_start_and_said(rules: HostRules, said: list[str]):
    rules.load([FOUR], [])
    assert setting("ipv4/ip_forward") == "1" and setting("ipv6/conf/all/forwarding") == "0"
    assert said == ["switched on forwarding of IPv4 packets (net.ipv4.ip_forward)"] and rules.warnings == []
    rules.load([FOUR], [])
    assert len(said) == 1


def test_the_first_ipv6_network_switches_ipv6_on_and_the_hosts_routes_stay(rules: HostRules, lab: Lab, said: list[str]):
    rules.load([FOUR], [])
    advertise(lab)
    rules.add_network(SIX)
    assert setting("ipv6/conf/all/forwarding") == "1" and setting("ipv6/conf/eth0/accept_ra") == "2"
    assert routes()
    assert any("accept_ra" in line and "eth0" in line for line in said)
    assert any("net.ipv6.conf.all.forwarding" in line for line in said)


def test_without_that_care_the_routes_would_be_lost(said: list[str], lab: Lab):
    """What the test above would see otherwise."""
    advertise(lab)
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    assert not routes()


def test_accept_ra_that_was_off_stays_off(rules: HostRules):
    Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").write_text("0")
    rules.load([SIX], [])
    assert setting("ipv6/conf/eth0/accept_ra") == "0" and setting("ipv6/conf/all/forwarding") == "1"


def test_ip_forward_false_refuses(said: list[str]):
    rules = HostRules(Names(""), False, False, said.append)
    try:
        rules.load([replace(FOUR, is_default=True)], [])
        assert rules.warnings == [DISABLED]
        for facts, name in ((FOUR, "net.ipv4.ip_forward"), (SIX, "net.ipv4.ip_forward")):
            with pytest.raises(Unavailable, match=name):
                rules.add_network(facts)
        rules.add_network(replace(FOUR, internal=True))
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        rules.add_network(FOUR)
        with pytest.raises(Unavailable, match=r"net\.ipv6\.conf\.all\.forwarding.*--ip-forward=false"):
            rules.add_network(SIX)
        assert setting("ipv6/conf/all/forwarding") == "0"
        assert not [line for line in said if "switched on" in line]
    finally:
        rules.remove()
        rules.close()


def test_networks_are_let_through_as_they_come_and_go(said: list[str]):
    load(DROP)
    before = run("nft", "list", "table", "ip", "filter")
    rules = HostRules(Names(""), True, True, said.append)
    try:
        rules.load([_default()], [])
        assert rules.warnings == [] and any("forward-accept" in line for line in said)
        rules.add_network(FOUR)
        now = run("nft", "list", "table", "ip", "filter")
        assert now.count('ifname "br-a"') == now.count('ifname "wharf0"') == 2
        rules.remove_network(FOUR)
        rules.remove_network(FOUR)
        assert "br-a" not in run("nft", "list", "table", "ip", "filter")
    finally:
        rules.remove()
        rules.close()
    assert run("nft", "list", "table", "ip", "filter") == before


def test_without_the_setting_it_is_only_said(rules: HostRules):
    load(DROP)
    before = run("nft", "list", "table", "ip", "filter")
    rules.load([FOUR], [])
    (warning,) = rules.warnings
    assert "ip filter FORWARD" in warning and run("nft", "list", "table", "ip", "filter") == before


def _default() -> BridgeFacts:
    ipv4 = {"subnet4": IPv4Network("172.17.0.0/16"), "gateway4": IPv4Address("172.17.0.1")}
    return replace(FOUR, is_default=True, bridge="wharf0", network_id="b" * 64, **ipv4)
