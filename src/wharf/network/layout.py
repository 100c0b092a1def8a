"""What a network's record means: its subnets, its bridge or parent interface, the facts for firewall and resolver.

Pure: reads records, makes values. Drivers: `bridge`, `macvlan`, `ipvlan`; `host` and `null` have no layout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from wharf.errors import Denied, Invalid
from wharf.kernel.sublinks import IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES, SubLink
from wharf.network.names import Names
from wharf.network.options import IFACE_PREFIX, BridgeOptions, SubOptions, bridge_options, sub_options
from wharf.network.plan import BridgePlan
from wharf.network.subnets import Subnet, parse_subnets
from wharf.spec.network import BridgeFacts, GatewayMode, NetworkRecord

SUB_DRIVERS: Mapping[str, tuple[Mapping[str, int], str]] = {
    "macvlan": (MACVLAN_MODES, "bridge"),
    "ipvlan": (IPVLAN_MODES, "l2"),
}
"""Modes and the default one of drivers that share another interface's wire."""
DRIVERS = ("bridge", *SUB_DRIVERS)
_VLAN_NUMBERS = range(1, 4095)


@dataclass(frozen=True, slots=True)
class ParentPlan:
    """The interface that a macvlan or ipvlan network sits on. `made`: by us, removed with the network: a dummy, or
    VLAN `vlan` of interface `base`; `mark` is then its alias."""

    name: str
    mark: str
    base: str = ""
    vlan: int = 0
    dummy: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """A network as it is to be. `subnets` are those of the families that are on, in order."""

    network_id: str
    name: str
    driver: str
    subnets: tuple[Subnet, ...]
    mtu: int
    internal: bool = False
    prefix: str = "eth"
    bridge: BridgePlan | None = None
    facts: BridgeFacts | None = None
    parent: ParentPlan | None = None
    sub: SubOptions | None = None

    def of(self, version: int) -> list[Subnet]:
        """The subnets of one IP version."""
        return [subnet for subnet in self.subnets if subnet.network.version == version]

    def sub_link(self, parent: int) -> SubLink | None:
        """How an endpoint's interface is made on the parent with this index; None for a bridge network."""
        if self.sub is None:
            return None
        modes, _ = SUB_DRIVERS[self.driver]
        flags = IPVLAN_FLAGS[self.sub.flag] if self.driver == "ipvlan" else 0
        return SubLink(self.driver, parent, modes[self.sub.mode], flags, self.sub.mtu)

    @property
    def device_route(self) -> bool:
        """ipvlan at layer 3 knows no next hops."""
        return self.sub is not None and self.driver == "ipvlan" and self.sub.mode != "l2"


def read_layout(record: NetworkRecord, names: Names, mtu: int) -> Layout:
    """The layout of a record whose subnets are all chosen; raises Invalid, Denied in Docker's words."""
    subnets = tuple(subnet for subnet in parse_subnets(record.ipam.config or ()) if _is_on(record, subnet))
    for version, on in ((4, record.enable_ipv4), (6, record.enable_ipv6)):
        if on and not any(subnet.network.version == version for subnet in subnets):
            raise Invalid(f"ipv{version} pool is empty")
    prefix = record.options.get(IFACE_PREFIX, "") or "eth"
    if record.driver == "bridge":
        return _bridge(record, subnets, names, (prefix, mtu))
    modes, default = SUB_DRIVERS[record.driver]
    options = sub_options(record.driver, record.options, modes, default)
    return Layout(
        record.id,
        record.name,
        record.driver,
        subnets,
        options.mtu or mtu,
        internal=record.internal,
        prefix=prefix,
        parent=_parent(record, options, names),
        sub=options,
    )


def _is_on(record: NetworkRecord, subnet: Subnet) -> bool:
    return record.enable_ipv4 if subnet.network.version == 4 else record.enable_ipv6


def _bridge(record: NetworkRecord, subnets: tuple[Subnet, ...], names: Names, rest: tuple[str, int]) -> Layout:
    prefix, mtu = rest
    options = bridge_options(record.options, record.internal)
    four = [subnet for subnet in subnets if subnet.network.version == 4]
    six = [subnet for subnet in subnets if subnet.network.version == 6]
    if len(four) > 1 or len(six) > 1:
        raise Invalid("bridge driver doesn't support multiple subnets")
    name = options.name or names.user_bridge(record.id)
    own4 = _own4(four, options)
    own6 = _own6(six, options)
    facts = BridgeFacts(
        record.id,
        record.name,
        name,
        subnet4=IPv4Network(four[0].network) if four else None,
        gateway4=own4.ip if own4 else None,
        subnet6=IPv6Network(six[0].network) if six else None,
        gateway6=own6.ip if own6 else None,
        internal=record.internal,
        icc=options.icc,
        masquerade=options.masquerade,
        mode4=options.mode4,
        mode6=options.mode6,
        host_binding=options.host_binding,
        trusted_interfaces=options.trusted_interfaces,
    )
    plan = BridgePlan(name, own4, options.mtu or mtu, address6=own6, closed=not options.icc, mark=names.mark(record.id))
    return Layout(
        record.id,
        record.name,
        "bridge",
        subnets,
        options.mtu or mtu,
        internal=record.internal,
        prefix=prefix,
        bridge=plan,
        facts=facts,
    )


def _own4(subnets: Sequence[Subnet], options: BridgeOptions) -> IPv4Interface | None:
    if not subnets or options.inhibit_ipv4 or options.mode4 is GatewayMode.ISOLATED:
        return None
    return IPv4Interface((IPv4Address(subnets[0].gateway), subnets[0].network.prefixlen))


def _own6(subnets: Sequence[Subnet], options: BridgeOptions) -> IPv6Interface | None:
    if not subnets or options.mode6 is GatewayMode.ISOLATED:
        return None
    return IPv6Interface((IPv6Address(subnets[0].gateway), subnets[0].network.prefixlen))


def _parent(record: NetworkRecord, options: SubOptions, names: Names) -> ParentPlan:
    mark = names.mark(record.id)
    if not options.parent:
        return ParentPlan(f"dm-{record.id[:12]}", mark, dummy=True)
    base, dot, number = options.parent.rpartition(".")
    if dot and number.isdecimal() and int(number) in _VLAN_NUMBERS:
        return ParentPlan(options.parent, mark, base, int(number))
    return ParentPlan(options.parent, mark)


def same_bridge(layout: Layout, others: Sequence[Layout]) -> None:
    """Raises Denied where another network has this one's bridge."""
    if layout.bridge is None:
        return
    for other in others:
        if other.bridge is not None and other.bridge.name == layout.bridge.name:
            raise Denied(
                f"cannot create network {layout.network_id} ({layout.bridge.name}): conflicts with network "
                f"{other.network_id} ({other.bridge.name}): networks have same bridge name"
            )
