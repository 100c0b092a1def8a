"""The networks that are always there: bridge, host and none."""

import dataclasses
import secrets
from collections.abc import Mapping

from wharf.network.ipam import Address, Network
from wharf.network.layout import Layout
from wharf.network.live import LiveNetwork
from wharf.network.networks import now
from wharf.network.plan import BridgePlan
from wharf.network.subnets import Subnet
from wharf.spec.network import PREDEFINED, BridgeFacts, DefaultBridge, IpamConfig, NetworkRecord


def default_network(record: NetworkRecord, plan: BridgePlan, asked: DefaultBridge) -> LiveNetwork:
    """The default bridge as its plan has it; its record's configuration follows, IPv4 first. Raises Denied where a
    gateway is the bridge's own address."""
    assert plan.address is not None
    subnets = [_subnet(plan.address.network, plan.address.ip, asked.range4, asked.gateway4)]
    if plan.address6:
        range6 = asked.range6 if asked.range6 != plan.address6.network else None
        subnets.append(_subnet(plan.address6.network, plan.address6.ip, range6, asked.gateway6))
    own = (plan.address.ip, plan.address6.ip if plan.address6 else None)
    record.enable_ipv6 = plan.address6 is not None
    record.ipam.config = [_config(subnet, str(bridge)) for subnet, bridge in zip(subnets, own, strict=False)]
    facts = BridgeFacts(
        record.id,
        record.name,
        plan.name,
        plan.address.network,
        plan.address.ip,
        plan.address6.network if plan.address6 else None,
        plan.address6.ip if plan.address6 else None,
        icc=not plan.closed,
        masquerade=asked.masquerade,
        is_default=True,
    )
    layout = Layout(record.id, record.name, "bridge", tuple(subnets), plan.mtu, bridge=plan, facts=facts)
    return LiveNetwork(record, layout)


_BRIDGE = "bridge"


def _subnet(network: Network, bridge: Address, within: Network | None, gateway: Address | None) -> Subnet:
    """`gateway`: where containers' default route leads instead of the bridge, whose address is taken all the same."""
    if gateway is None:
        return Subnet(network, bridge, within, static=False)
    return Subnet(network, gateway, within, ((_BRIDGE, bridge),), static=False)


def _config(subnet: Subnet, bridge: str) -> IpamConfig:
    """As Docker shows it: the bridge's address is the gateway, another one an auxiliary address."""
    other = {f"DefaultGatewayIPv{subnet.network.version}": str(subnet.gateway)} if subnet.auxiliary else None
    within = str(subnet.within) if subnet.within else ""
    return IpamConfig(str(subnet.network), within, bridge, other)


def predefined(known: Mapping[str, NetworkRecord], plan: BridgePlan, asked: DefaultBridge) -> list[NetworkRecord]:
    """The records of bridge, host and none: copies of those kept, else new ones."""
    options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "false" if plan.closed else "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true" if asked.masquerade else "false",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": plan.name,
        "com.docker.network.driver.mtu": str(plan.mtu),
    }
    drivers = {"bridge": "bridge", "host": "host", "none": "null"}
    records = []
    for name in PREDEFINED:
        fresh = known.get(name) or NetworkRecord(name, secrets.token_hex(32), now(), driver=drivers[name])
        fresh = dataclasses.replace(fresh, ipam=dataclasses.replace(fresh.ipam))
        if name == "bridge":
            fresh.options = options
        records.append(fresh)
    return records
