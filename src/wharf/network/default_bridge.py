"""The default bridge: its addresses decided from what the administrator asks, what it had before, and what is there."""

import dataclasses
import ipaddress
from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network
from socket import AF_INET6

from wharf.errors import Invalid, Unavailable
from wharf.kernel import netlink
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge
from wharf.network.contracts import NetworkStore
from wharf.network.ipam import DEFAULT_POOLS, Network, choose_subnet, ula_pool
from wharf.network.live import LiveNetwork
from wharf.network.plan import Addressing, BridgePlan, plan_bridge
from wharf.network.predefined import default_network, predefined
from wharf.network.settings import NetworkConfig
from wharf.spec.network import DefaultBridge, NetworkRecord


def plan_default(
    route: NetlinkSocket, name: str, config: NetworkConfig, record: NetworkRecord | None, stored: Sequence[Network]
) -> BridgePlan:
    """The plan of the default bridge. `record` is what is stored of it, `stored` the subnets of all other networks.
    Raises Invalid for settings that do not fit together, Unavailable."""
    asked = config.default
    remembered = _remembered(record)
    own4 = next((item for item in remembered if item.version == 4), None)
    wanted = Addressing(config.bip or _first_of(asked.range4), own4, config.default_pools or DEFAULT_POOLS)
    try:
        present = bridge.present_address(route, name)
        routes = [*netlink.routes(route), *stored]
        routes6 = [*netlink.routes(route, AF_INET6), *stored]
    except OSError as error:
        raise Unavailable(f"cannot read this host's interfaces and routes: {error}") from error
    if asked.range4 and not config.bip and present and asked.range4.subnet_of(present.network):
        wanted = dataclasses.replace(wanted, bip="")  # as it is
    plan = plan_bridge(name, config.mtu, wanted, present, routes)
    own6 = next((item for item in remembered if item.version == 6), None)
    address6 = plan_address6(asked, own6, lambda: _choose6(config, routes6))
    plan = dataclasses.replace(plan, closed=not config.icc, address6=address6)
    check_inside(asked, plan)
    return plan


def bring_up(
    route: NetlinkSocket, plan: BridgePlan, config: NetworkConfig, store: NetworkStore
) -> Iterator[tuple[NetworkRecord, LiveNetwork | None]]:
    """Make the default bridge and store the predefined networks where they have changed; each with what carries it.
    Raises Unavailable."""
    known = {record.name: record for record in store.all()}
    for record in predefined(known, plan, config.default):
        live = default_network(record, plan, config.default) if record.name == "bridge" else None
        if live is not None:
            live.index = bridge.apply(route, plan).index
        if known.get(record.name) != record:
            store.put(record)
        yield record, live


def plan_address6(
    asked: DefaultBridge, remembered: IPv6Interface | None, choose: Callable[[], IPv6Network]
) -> IPv6Interface | None:
    """The bridge's IPv6 address, None without IPv6: `--bip6`, the first of `--fixed-cidr-v6`, what it had, or the first
    of a subnet of this instance's own."""
    if not asked.ipv6:
        return None
    if asked.address6:
        return asked.address6
    if asked.range6 is None and remembered is not None:
        return remembered
    subnet = asked.range6 or choose()
    return IPv6Interface((int(subnet.network_address) + 1, subnet.prefixlen))


def check_inside(asked: DefaultBridge, plan: BridgePlan) -> None:
    """Ranges and gateways must lie in the bridge's subnets; raises Invalid naming the setting."""
    for own, flag, range_, gateway in (
        (plan.address, "", asked.range4, asked.gateway4),
        (plan.address6, "-v6", asked.range6, asked.gateway6),
    ):
        if own is None:
            continue
        if range_ is not None and not (own.network.supernet_of(range_)):  # type: ignore[arg-type]
            raise Invalid(f"fixed-cidr{flag} {range_} is not within the default bridge's subnet {own.network}")
        if gateway is not None and gateway not in own.network:
            raise Invalid(f"default-gateway{flag} {gateway} is not within the default bridge's subnet {own.network}")


def _choose6(config: NetworkConfig, taken: Sequence[Network]) -> IPv6Network:
    pools = [pool for pool in config.default_pools if pool.base.version == 6] or [ula_pool(config.seed)]
    return IPv6Network(choose_subnet(pools, taken, 6))


def _first_of(subnet: ipaddress.IPv4Network | None) -> str:
    return f"{subnet.network_address + 1}/{subnet.prefixlen}" if subnet else ""


def _remembered(record: NetworkRecord | None) -> list[ipaddress.IPv4Interface | IPv6Interface]:
    """The bridge's addresses as its record has them; a record that is damaged has none."""
    found: list[ipaddress.IPv4Interface | IPv6Interface] = []
    for config in (record.ipam.config or ()) if record else ():
        try:
            subnet, gateway = ipaddress.ip_network(config.subnet), ipaddress.ip_address(config.gateway)
        except ValueError:
            continue
        if isinstance(gateway, IPv4Address):
            found.append(ipaddress.IPv4Interface((gateway, subnet.prefixlen)))
        elif isinstance(gateway, IPv6Address):
            found.append(IPv6Interface((gateway, subnet.prefixlen)))
    return found
