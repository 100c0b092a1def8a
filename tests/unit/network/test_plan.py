"""Addresses and plans, without a host."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from wharf.errors import Invalid, Unavailable
from wharf.network.default_bridge import check_inside, plan_address6
from wharf.network.ipam import DEFAULT_POOLS, AddressSpace, choose_subnet, subnets
from wharf.network.names import Names, instance_id
from wharf.network.plan import Addressing, BridgePlan, parse_bip, plan_bridge
from wharf.spec.network import AddressPool, DefaultBridge

EVERYTHING = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]


def space(subnet="10.0.0.0/29"):
    network = IPv4Network(subnet)
    return AddressSpace(network, network.network_address + 1)


def test_addresses_in_turn_then_the_one_released_longest_ago():
    addresses = space()
    given = [str(addresses.take()) for _ in range(3)]
    assert given == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    addresses.release(IPv4Address("10.0.0.2"))
    assert [str(addresses.take()) for _ in range(3)] == ["10.0.0.5", "10.0.0.6", "10.0.0.2"]
    with pytest.raises(Unavailable, match="no available IPv4 addresses"):
        addresses.take()
    addresses.release(IPv4Address("10.0.0.4"))
    addresses.release(IPv4Address("10.0.0.4"))
    assert str(addresses.take()) == "10.0.0.4"


def test_claimed_addresses_are_not_given_out():
    addresses = space()
    addresses.claim(IPv4Address("10.0.0.3"), passed=True)
    assert str(addresses.take()) == "10.0.0.4"
    wanted = space()
    wanted.claim(IPv4Address("10.0.0.3"))
    assert [str(wanted.take()) for _ in range(2)] == ["10.0.0.2", "10.0.0.4"]
    for taken in ("10.0.0.3", "10.0.0.1", "10.0.0.7", "10.0.1.1"):
        with pytest.raises(Invalid):
            addresses.claim(IPv4Address(taken))


def test_pools_are_dockers_and_skip_routes():
    offered = [str(subnet) for subnet in subnets(DEFAULT_POOLS)]
    assert len(offered) == 3 + 12 + 16 and offered[3] == "172.20.0.0/16" and offered[-1] == "192.168.240.0/20"
    routes = [IPv4Network("172.17.9.0/24"), IPv4Network("172.18.0.0/15")]
    assert str(choose_subnet(DEFAULT_POOLS, routes)) == "172.20.0.0/16"
    with pytest.raises(Unavailable, match="non-overlapping IPv4 address pool among the defaults"):
        choose_subnet(DEFAULT_POOLS, EVERYTHING)


def wanted(bip="", remembered=None):
    return Addressing(bip, IPv4Interface(remembered) if remembered else None, DEFAULT_POOLS)


@pytest.mark.parametrize(
    "asked, present, routes, address, found",
    [
        (wanted(), None, [], "172.17.0.1/16", False),
        (wanted(), "172.19.0.1/16", [IPv4Network("172.19.0.0/16")], "172.19.0.1/16", True),
        (wanted("10.9.0.1/24"), "172.19.0.1/16", [], "10.9.0.1/24", False),
        (wanted("10.9.0.1/24"), "10.9.0.1/24", [], "10.9.0.1/24", True),
        (wanted(remembered="172.24.0.1/16"), None, [], "172.24.0.1/16", False),
        (wanted(remembered="172.24.0.1/16"), None, [IPv4Network("172.24.1.0/24")], "172.17.0.1/16", False),
    ],
)
def test_bridge_address(asked, present, routes, address, found):
    plan = plan_bridge("wharf0", 1500, asked, IPv4Interface(present) if present else None, routes)
    assert (str(plan.address), plan.found) == (address, found)
    assert address in plan.describe()


@pytest.mark.parametrize("text", ["", "10.0.0.1", "10.0.0.0/24", "10.0.0.1/31", "fd00::1/64", "10.0.0.1/33"])
def test_bad_bridge_addresses(text):
    with pytest.raises(Invalid):
        parse_bip(text)


def test_names_fit_and_tell_instances_apart():
    assert instance_id("/var/lib/wharf") == "" and Names("").bridge == "wharf0" and Names("").table == "wharf"
    one, two = Names(instance_id("/a")), Names(instance_id("/b"))
    assert one.bridge != two.bridge and one.veth_prefix != two.veth_prefix
    for names in (one, Names("")):
        assert len(names.veth("f" * 64)) <= 15 and len(names.bridge) <= 15
    assert not Names("").veth("f" * 64).startswith(one.veth_prefix)


def test_pool_of_the_configuration():
    pool = AddressPool.parse("base=10.10.0.0/23,size=24")
    asked = Addressing("", None, (pool,))
    assert str(plan_bridge("b", 1500, asked, None, [IPv4Network("10.10.0.0/24")]).address) == "10.10.1.1/24"


def test_the_default_bridges_ipv6_address():
    own, other = IPv6Network("fd00:1::/64"), IPv6Interface("fd00:9::1/64")
    asked = DefaultBridge(ipv6=True)
    assert plan_address6(DefaultBridge(), other, lambda: own) is None  # --fixed-cidr-v6 alone switches nothing on
    assert plan_address6(asked, None, lambda: own) == IPv6Interface("fd00:1::1/64")
    assert plan_address6(asked, other, lambda: own) == other  # what it had before stays
    given = replace(asked, range6=IPv6Network("fd00:5::/80"))
    assert plan_address6(given, other, lambda: own) == IPv6Interface("fd00:5::1/80")
    assert plan_address6(replace(given, address6=other), None, lambda: own) == other


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (DefaultBridge(range4=IPv4Network("10.1.0.0/16")), "fixed-cidr 10.1.0.0/16 is not within"),
        (DefaultBridge(gateway4=IPv4Address("10.2.0.1")), "default-gateway 10.2.0.1 is not within"),
        (DefaultBridge(range6=IPv6Network("fd01::/64")), "fixed-cidr-v6 fd01::/64 is not within"),
        (DefaultBridge(gateway6=IPv6Address("fd01::1")), "default-gateway-v6 fd01::1 is not within"),
    ],
)
def test_ranges_and_gateways_lie_within_the_default_bridge(asked: DefaultBridge, words: str):
    plan = BridgePlan("b", IPv4Interface("10.1.0.1/24"), 1500, address6=IPv6Interface("fd00::1/64"))
    with pytest.raises(Invalid, match=words):
        check_inside(asked, plan)
