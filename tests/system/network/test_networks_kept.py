"""What a start finds of networks on the host and in the store, without containers."""

from collections.abc import Callable

import pytest

from tests.system.network.conftest import MemoryStore, Net
from wharf.errors import Conflict, Denied
from wharf.kernel import netlink
from wharf.kernel.netlink import NetlinkSocket, attribute, link_message, link_name
from wharf.network.manager import EndpointRequest, NetworkConfig
from wharf.network.names import Names
from wharf.spec.network import AddressPool, Ipam, IpamConfig, NetworkRecord

POOL = (AddressPool.parse("base=10.64.0.0/10,size=24"),)
IFLA_IFALIAS = 20


def wanted(name: str, *subnets: str) -> NetworkRecord:
    return NetworkRecord(name, "", "", ipam=Ipam(config=[IpamConfig(subnet) for subnet in subnets] or None))


def bridges() -> dict[str, str]:
    """Bridges of the lab's host but the default one, with their aliases."""
    route = NetlinkSocket()
    try:
        return {
            link.name: link.alias for link in netlink.links(route) if link.kind == "bridge" and "wharf" not in link.name
        }
    finally:
        route.close()


def test_a_start_brings_back_what_is_stored_and_nothing_else(make_net: Callable[..., Net]) -> None:
    first = make_net()
    kept, lost = first.manager.create(wanted("kept")), first.manager.create(wanted("lost"))
    first.stop(remove=False)
    first.store.delete(lost.id)
    before = bridges()
    assert set(before) == {f"br-{kept.id[:12]}", f"br-{lost.id[:12]}"}
    again = make_net(store=first.store)
    assert set(bridges()) == {f"br-{kept.id[:12]}"}
    assert again.manager.find("kept") == kept
    endpoint = again.manager.allocate("kept", EndpointRequest("s"))
    assert str(endpoint.address) == f"{kept.ipam.config[0].subnet.removesuffix('.0.0/16')}.0.2/16"  # type: ignore[index]
    again.stop(remove=True)
    assert bridges() == {}


def test_what_others_made_stays(make_net: Callable[..., Net]) -> None:
    route = NetlinkSocket()
    other = Names("abcdef")
    for name, alias in (("br-theirs", "somebody's"), ("br-instance", other.mark("ab" * 32))):
        route.transact(netlink.new_bridge(name, "02:00:00:00:00:01", 1500))
        route.transact(
            [link_message(netlink.RTM_NEWLINK, 0, link_name(name) + attribute(IFLA_IFALIAS, alias.encode()))]
        )
    route.close()
    net = make_net()
    net.manager.create(wanted("ours"))
    net.stop(remove=True)
    assert set(bridges()) == {"br-theirs", "br-instance"}


def test_the_default_bridge_leaves_stored_subnets_alone(make_net: Callable[..., Net]) -> None:
    store = MemoryStore()
    store.put(NetworkRecord("mine", "cd" * 32, "2026-01-01T00:00:00Z", ipam=Ipam(config=[IpamConfig("172.17.0.0/16")])))
    net = make_net(store=store)
    assert str(net.manager.gateway) == "172.18.0.1"
    assert str(net.manager.allocate("mine", EndpointRequest("s")).address) == "172.17.0.2/16"


def test_many_networks_go_at_once(make_net: Callable[..., Net]) -> None:
    net = make_net(NetworkConfig("", default_pools=POOL))
    for number in range(60):
        net.manager.create(wanted(f"net{number}"))
    assert len(bridges()) == 60
    net.stop(remove=True)
    assert bridges() == {}


def test_a_network_with_endpoints_stays_and_a_name_is_given_once(net: Net) -> None:
    record = net.manager.create(wanted("busy", "10.9.0.0/24"))
    with pytest.raises(Conflict, match="network with name busy already exists"):
        net.manager.create(wanted("busy"))
    with pytest.raises(Denied, match="overlaps"):
        net.manager.create(wanted("over", "10.9.0.0/16"))
    endpoint = net.manager.allocate("busy", EndpointRequest("s"))
    with pytest.raises(Denied, match="has active endpoints"):
        net.manager.remove(record, lambda item: item.id[:12])
    net.manager.release(endpoint)
    net.manager.remove(record, lambda item: item.id[:12])
    assert bridges() == {} and [item.name for item in net.manager.networks()] == ["bridge", "host", "none"]


def test_the_lower_of_two_families_decides_nothing(net: Net) -> None:
    """An address space that is full in one family gives none in the other."""
    record = wanted("tiny", "10.10.0.0/30", "fd00:10::/64")
    record.enable_ipv6 = True
    net.manager.create(record)
    first = net.manager.allocate("tiny", EndpointRequest("s"))
    with pytest.raises(Exception, match="no available IPv4 addresses"):
        net.manager.allocate("tiny", EndpointRequest("s"))
    net.manager.release(first)
    assert str(net.manager.allocate("tiny", EndpointRequest("s")).address6) == "fd00:10::3/64"
