"""The networks that are always there: bridge, host and none."""

import contextlib
import dataclasses
import secrets
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from wharf.network.layout import Layout
from wharf.network.live import LiveNetwork
from wharf.network.networks import now
from wharf.network.plan import BridgePlan
from wharf.network.subnets import Subnet
from wharf.spec.network import PREDEFINED, BridgeFacts, IpamConfig, NetworkRecord


def default_network(record: NetworkRecord, plan: BridgePlan) -> LiveNetwork:
    """The default bridge as its plan has it; its record's configuration follows."""
    address = plan.address
    assert address is not None
    record.ipam.config = [IpamConfig(subnet=str(address.network), gateway=str(address.ip))]
    facts = BridgeFacts(
        record.id, record.name, plan.name, address.network, address.ip, icc=not plan.closed, is_default=True
    )
    subnets = (Subnet(address.network, address.ip, static=False),)
    return LiveNetwork(record, Layout(record.id, record.name, "bridge", subnets, plan.mtu, bridge=plan, facts=facts))


def subnet_of(record: NetworkRecord) -> IPv4Interface | None:
    for config in record.ipam.config or ():
        with contextlib.suppress(ValueError):
            return IPv4Interface((IPv4Address(config.gateway), IPv4Network(config.subnet).prefixlen))
    return None


def predefined(known: Mapping[str, NetworkRecord], plan: BridgePlan) -> list[NetworkRecord]:
    """The records of bridge, host and none: copies of those kept, else new ones."""
    options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "false" if plan.closed else "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
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
