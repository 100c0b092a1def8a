"""Records, options and addresses of networks, without a host."""

import dataclasses
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest

from wharf.errors import Denied, Internal, Invalid, Unavailable
from wharf.network.ipam import DEFAULT_POOLS, AddressSpace, choose_subnet, first_address, ula_pool
from wharf.network.layout import read_layout
from wharf.network.live import LiveNetwork, Wanted
from wharf.network.names import Names
from wharf.network.options import BRIDGE, MTU, bridge_options, endpoint_sysctls, is_interface_name
from wharf.network.plan import default_routes, free_interface, gateway_order
from wharf.network.publishing import by_mode
from wharf.network.subnets import parse_subnets
from wharf.spec.network import (
    AddressPool,
    BridgeFacts,
    Endpoint,
    GatewayMode,
    Ipam,
    IpamConfig,
    NameTable,
    NetworkRecord,
    Port,
    PortRequest,
)

NAMES = Names("")


def record(*configs, **changes):
    given = {"driver": "bridge", "ipam": Ipam(config=list(configs)), **changes}
    return NetworkRecord("net", "ab" * 32, "2026-01-01T00:00:00Z", **given)


def endpoint(name="a", priority=0, gateway="10.0.0.1", gateway6=None, **changes):
    given = {
        "id": name * 8,
        "network_id": name * 4,
        "network_name": name,
        "sandbox_id": "s",
        "address": IPv4Interface("10.0.0.2/24"),
        "gateway": IPv4Address(gateway) if gateway else None,
        "mac": "02:00:00:00:00:01",
        "priority": priority,
        "gateway6": IPv6Address(gateway6) if gateway6 else None,
    }
    return Endpoint(**{**given, **changes})


@pytest.mark.parametrize(
    "config, said",
    [
        ({"subnet": "nosuch"}, "invalid subnet nosuch: invalid CIDR block notation"),
        ({"subnet": "10.0.0.0"}, "invalid subnet 10.0.0.0: invalid CIDR block notation"),
        ({"subnet": "10.0.0.0/255.255.255.0"}, "invalid CIDR block notation"),
        ({"subnet": "10.0.0.7/24"}, "it should be 10.0.0.0/24"),
        ({"subnet": "10.0.0.0/24", "ip_range": "10.0.0.0/16"}, "CIDR block is bigger than its parent subnet"),
        ({"subnet": "10.0.0.0/24", "ip_range": "10.0.1.0/25"}, "doesn't contain ip-range"),
        ({"subnet": "10.0.0.0/24", "ip_range": "fd00::/120"}, "parent subnet is an IPv4 block"),
        ({"subnet": "10.0.0.0/24", "gateway": "10.0.1.1"}, "doesn't contain this address"),
        ({"subnet": "10.0.0.0/24", "gateway": "x"}, "invalid gateway x: invalid address"),
        ({"subnet": "10.0.0.0/24", "auxiliary_addresses": {"a": "10.1.0.1"}}, "invalid auxiliary address 10.1.0.1"),
        ({"gateway": "10.0.0.1"}, "invalid subnet : invalid CIDR block notation"),
    ],
)
def test_bad_configurations_are_named(config, said):
    with pytest.raises(Invalid) as caught:
        parse_subnets([IpamConfig(**config)])
    assert caught.value.message.startswith("invalid network config:\n") and said in caught.value.message


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(Invalid) as caught:
        parse_subnets([IpamConfig("10.0.0.0/24", gateway="x", ip_range="y")])
    assert caught.value.message.count("\n* ") == 2


def test_subnets_of_one_network_do_not_overlap():
    with pytest.raises(Denied, match="overlaps"):
        parse_subnets([IpamConfig("10.0.0.0/24"), IpamConfig("10.0.0.128/25")])


@pytest.mark.parametrize(
    "config, gateway, first",
    [
        (IpamConfig("10.0.0.0/24"), "10.0.0.1", "10.0.0.2"),
        (IpamConfig("10.0.0.0/16", ip_range="10.0.9.0/24"), "10.0.9.0", "10.0.9.1"),
        (IpamConfig("10.0.0.0/24", gateway="10.0.0.9"), "10.0.0.9", "10.0.0.1"),
        (IpamConfig("10.0.0.0/24", auxiliary_addresses={"a": "10.0.0.2"}), "10.0.0.1", "10.0.0.3"),
        (IpamConfig("fd00::/64"), "fd00::1", "fd00::2"),
        (IpamConfig("10.0.0.0/31"), "10.0.0.0", "10.0.0.1"),
    ],
)
def test_gateways_and_first_addresses(config, gateway, first):
    (subnet,) = parse_subnets([config])
    assert (str(subnet.gateway), str(subnet.space().take())) == (gateway, first)


@pytest.mark.parametrize("gateway", ["10.0.0.0", "10.0.0.255"])
def test_a_gateway_is_a_host_address(gateway):
    (subnet,) = parse_subnets([IpamConfig("10.0.0.0/24", gateway=gateway)])
    with pytest.raises(Denied, match=r"failed to allocate gateway \(" + gateway):
        subnet.space()


def test_an_address_space_of_a_whole_64_is_quick():
    space = AddressSpace(IPv6Network("fd00::/64"), IPv6Address("fd00::1"))
    assert [str(space.take()) for _ in range(3)] == ["fd00::2", "fd00::3", "fd00::4"]


def test_a_million_subnets_are_passed_over_in_one_step():
    pool = AddressPool(IPv4Network("10.0.0.0/8"), 30)
    taken = [IPv4Network("10.0.0.0/9"), IPv4Network("10.128.0.0/10"), IPv4Network("10.192.0.4/30")]
    before = time.perf_counter()
    assert str(choose_subnet([pool], taken)) == "10.192.0.0/30"
    assert str(choose_subnet([pool], [*taken, IPv4Network("10.192.0.0/30")])) == "10.192.0.8/30"
    assert time.perf_counter() - before < 0.5
    with pytest.raises(Unavailable, match="IPv4 address pool"):
        choose_subnet([pool], [IPv4Network("10.0.0.0/8")])


def test_ipv6_pools_are_of_the_instance():
    first, second = ula_pool(bytes(range(32))), ula_pool(bytes(32))
    assert first.base.prefixlen == 48 and first.base.subnet_of(ip_network("fd00::/8")) and first != second
    chosen = choose_subnet([first], [], 6)
    assert chosen.prefixlen == 64 and first_address(chosen) == chosen.network_address + 1
    assert all(pool.base.version == 4 for pool in DEFAULT_POOLS)


@pytest.mark.parametrize(
    "key, value, kind, said",
    [
        (BRIDGE + "enable_icc", "maybe", Invalid, 'strconv.ParseBool: parsing "maybe"'),
        (BRIDGE + "gateway_mode_ipv4", "odd", Invalid, "unknown gateway mode odd"),
        (BRIDGE + "gateway_mode_ipv6", "isolated", Invalid, "only be used for an internal network"),
        (BRIDGE + "host_binding_ipv4", "abc", Invalid, "(nil ip)"),
        (BRIDGE + "name", "averyveryverylongname", Internal, "numerical result out of range"),
        (BRIDGE + "name", "a b", Invalid, "invalid bridge name"),
        (BRIDGE + "trusted_host_interfaces", "eth0:a/b", Invalid, "invalid interface name"),
        (MTU, "x", Invalid, 'strconv.Atoi: parsing "x"'),
        (MTU, "-1", Invalid, "invalid MTU number: -1"),
        (MTU, "70000", Invalid, "invalid MTU number: 70000"),
    ],
)
def test_bad_options_are_named(key, value, kind, said):
    with pytest.raises(kind) as caught:
        bridge_options({key: value}, internal=False)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "text",
    ["net.ipv4.conf.eth0.x=1", "net.ipv4.conf.IFNAME.x", "net.other.conf.IFNAME.x=1", "net.ipv4.conf.IFNAME=1",
     "net.ipv4.../..IFNAME.x=1", "kernel.ipv4.conf.IFNAME.x=1"],
)  # fmt: skip
def test_sysctls_of_other_things_are_refused(text):
    with pytest.raises(Invalid, match="unrecognised network interface sysctl"):
        endpoint_sysctls({"com.docker.network.endpoint.sysctls": text})


def test_sysctls_of_the_interface():
    options = {"com.docker.network.endpoint.sysctls": "net.ipv6.conf.ifname.disable_ipv6=1,net.ipv4.neigh.IFNAME.x=2"}
    assert endpoint_sysctls(options) == [("ipv6/conf/IFNAME/disable_ipv6", "1"), ("ipv4/neigh/IFNAME/x", "2")]
    assert endpoint_sysctls(None) == []


def test_interface_names_are_the_kernels():
    assert all(map(is_interface_name, ("eth0", "a-b.c", "x" * 15)))
    assert not any(map(is_interface_name, ("", ".", "..", "a/b", "a:b", "a b", "x" * 16)))


def test_layout_of_a_bridge():
    layout = read_layout(record(IpamConfig("10.0.0.0/24"), IpamConfig("fd00::/64"), enable_ipv6=True), NAMES, 1500)
    assert layout.bridge is not None and layout.facts is not None
    assert layout.bridge.name == "br-abababababab" and str(layout.bridge.address) == "10.0.0.1/24"
    assert layout.facts.gateway6 == IPv6Address("fd00::1") and NAMES.marked(layout.bridge.mark) == "ab" * 32
    off = read_layout(record(IpamConfig("10.0.0.0/24"), IpamConfig("fd00::/64")), NAMES, 1500)
    assert off.facts is not None and off.facts.subnet6 is None
    with pytest.raises(Invalid, match="doesn't support multiple subnets"):
        read_layout(record(IpamConfig("10.0.0.0/24"), IpamConfig("10.1.0.0/24")), NAMES, 1500)


def test_a_mark_of_another_instance_is_not_ours():
    assert Names("abcdef").marked(NAMES.mark("x")) == "" == NAMES.marked(Names("abcdef").mark("x"))
    assert NAMES.marked("somebody's note") == ""


def test_addresses_of_both_families_or_none():
    tiny = record(IpamConfig("10.0.0.0/30"), IpamConfig("fd00::/64"), enable_ipv6=True)
    live = LiveNetwork(tiny, read_layout(tiny, NAMES, 1500))
    given = live.take(Wanted())
    assert (str(given.address), str(given.address6)) == ("10.0.0.2/30", "fd00::2/64")
    with pytest.raises(Unavailable, match="no available IPv4 addresses"):
        live.take(Wanted())
    with pytest.raises(Invalid, match="already in use"):
        live.take(Wanted(address=IPv4Address("10.0.0.2")))
    live.give_back(endpoint(address=given.address, address6=given.address6))
    with pytest.raises(Invalid, match="already in use"):
        live.take(Wanted(address6=IPv6Address("fd00::1")))
    again = live.take(Wanted())
    assert str(again.address) == "10.0.0.2/30" and str(again.address6) != "fd00::1/64"


def test_who_leads_out():
    low, high = endpoint("a"), endpoint("b", priority=5)
    inner = endpoint("0", gateway=None)
    six = endpoint("c", gateway=None, gateway6="fd00::1")
    assert [end.network_name for end in gateway_order([inner, six, low, high])] == ["b", "a", "c", "0"]
    assert default_routes([inner, six, low, high]) == ("b" * 8, "c" * 8)
    assert default_routes([inner]) == ("", "")
    assert free_interface("eth", ["eth0", "eth2"]) == "eth1"


def test_name_tables_join_those_of_one_name():
    one = endpoint(names=("web", "w", "abc"))
    two = endpoint(names=("other", "W."), address=IPv4Interface("10.0.0.3/24"))
    table = NameTable.of(one.network_id, "a", [one, two, endpoint("b", names=("web",))])
    assert table.names["w"] == (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.3"))
    assert table.reverse[IPv4Address("10.0.0.3")] == "other.a" and set(table.names) == {"web", "w", "abc", "other"}


def test_what_a_network_publishes():
    asked = [PortRequest(Port(80), None, 8080, 8080), PortRequest(Port(81), "127.0.0.1")]
    facts = BridgeFacts("id", "net", "br0", subnet4=IPv4Network("10.0.0.0/24"))

    def bound(**changes):
        requests, routed = by_mode(asked, endpoint(), dataclasses.replace(facts, **changes))
        return [request.host_ip for request in requests], [port.host_port for port in routed]

    assert bound() == ([None, "127.0.0.1"], [])
    assert bound(internal=True) == ([], [])
    assert bound(host_binding="127.0.0.1") == (["127.0.0.1", "127.0.0.1"], [])
    assert bound(mode4=GatewayMode.ROUTED) == (["::"], [0, 0])
