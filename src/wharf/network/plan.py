"""What is to be made on the host, decided before anything is touched. Pure: no socket, no file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from wharf.errors import Invalid
from wharf.network.ipam import choose_subnet
from wharf.network.names import Names
from wharf.spec.network import AddressPool, Endpoint


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """A bridge with its own address, which is the containers' gateway."""

    name: str
    address: IPv4Interface
    mtu: int
    found: bool = False
    """True: a bridge with this address is there already and stays."""

    @property
    def subnet(self) -> IPv4Network:
        return self.address.network

    @property
    def gateway(self) -> IPv4Address:
        return self.address.ip

    def describe(self) -> str:
        verb = "keep" if self.found else "create"
        return f"{verb} bridge {self.name} with address {self.address}, MTU {self.mtu}"


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """A veth pair: `veth` on the bridge, `endpoint.interface` in the sandbox, with address and default route there."""

    veth: str
    mtu: int
    endpoint: Endpoint

    def describe(self) -> str:
        end = self.endpoint
        route = f", default via {end.gateway}" if end.gateway else ""
        return f"veth {self.veth} -> {end.interface} {end.mac} {end.address}, MTU {self.mtu}{route}"


@dataclass(frozen=True, slots=True)
class Addressing:
    """Where the default bridge's address may come from: `--bip`, what it had before, the pools."""

    bip: str
    remembered: IPv4Interface | None
    pools: Sequence[AddressPool]


def parse_bip(text: str) -> IPv4Interface:
    """`--bip 192.168.5.1/24`; raises Invalid."""
    try:
        address = IPv4Interface(text)
    except ValueError as error:
        raise Invalid(f"invalid bridge IP {text[:80]!r}: {error}") from error
    if "/" not in text or address.network.prefixlen > 30 or address.ip == address.network.network_address:
        raise Invalid(f"invalid bridge IP {text[:80]!r}: expected a host address with its prefix, as in 192.168.5.1/24")
    return address


def plan_bridge(
    name: str, mtu: int, wanted: Addressing, present: IPv4Interface | None, routes: Iterable[IPv4Network]
) -> BridgePlan:
    """Decide the default bridge's address; `present` is what an existing bridge of that name has.

    Containers that outlived the daemon keep talking when the bridge stays as it is, so a present address wins over
    everything but an explicit `--bip`. A remembered subnet is taken again unless the host meanwhile routes to it.
    """
    if wanted.bip:
        address = parse_bip(wanted.bip)
    elif present is not None:
        address = present
    else:
        taken = list(routes)
        remembered = wanted.remembered
        if remembered is not None and not any(remembered.network.overlaps(route) for route in taken):
            address = remembered
        else:
            subnet = choose_subnet(wanted.pools, taken)
            address = IPv4Interface((subnet.network_address + 1, subnet.prefixlen))
    return BridgePlan(name, address, mtu, found=address == present)


def plan_endpoint(names: Names, mtu: int, endpoint: Endpoint) -> EndpointPlan:
    """The pair for one endpoint, named after its id."""
    return EndpointPlan(names.veth(endpoint.id), mtu, endpoint)
