"""What is to be made on the host, decided before anything is touched. Pure: no socket, no file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from itertools import count

from wharf.errors import Invalid
from wharf.kernel.sublinks import SubLink
from wharf.network.ipam import choose_subnet
from wharf.spec.network import AddressPool, Endpoint


@dataclass(frozen=True, slots=True)
class BridgePlan:
    """A bridge with its own addresses, the containers' gateways; without any it only connects."""

    name: str
    address: IPv4Interface | None
    mtu: int
    found: bool = False
    """True: a bridge with this address is there already and stays."""
    address6: IPv6Interface | None = None
    closed: bool = False
    """Its ports hear one another only where the packet filter lets them (`enable_icc` off)."""
    mark: str = ""
    """Alias that says whose it is (names.mark); "" for the default bridge, which is known by its name."""

    def describe(self) -> str:
        verb = "keep" if self.found else "create"
        addresses = " and ".join(str(item) for item in (self.address, self.address6) if item) or "none"
        return f"{verb} bridge {self.name} with address {addresses}, MTU {self.mtu}"


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """An interface of a sandbox: the inner end of a veth pair whose host end `veth` is a port of the bridge with index
    `bridge`, or a `sub` interface of another. It gets the endpoint's addresses, and the default routes it is to carry.
    """

    veth: str
    mtu: int
    endpoint: Endpoint
    bridge: int = 0
    sub: SubLink | None = None
    isolated: bool = False
    default4: bool = True
    default6: bool = True
    device_route: bool = False
    """The default route names the interface alone (ipvlan at layer 3)."""
    more: tuple[IPv4Interface | IPv6Interface, ...] = ()
    """Further addresses: `--link-local-ip`."""

    def describe(self) -> str:
        end = self.endpoint
        addresses = " ".join(str(item) for item in (end.address, end.address6, *self.more) if item)
        routes = "".join(
            f", default via {gateway}"
            for gateway, carried in ((end.gateway, self.default4), (end.gateway6, self.default6))
            if gateway and carried
        )
        return f"{self.veth or self.sub} -> {end.interface} {end.mac} {addresses}, MTU {self.mtu}{routes}"


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
    name: str,
    mtu: int,
    wanted: Addressing,
    present: IPv4Interface | None,
    routes: Iterable[IPv4Network | IPv6Network],
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
            address = IPv4Interface((int(subnet.network_address) + 1, subnet.prefixlen))
    return BridgePlan(name, address, mtu, found=address == present)


def gateway_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Endpoints of one sandbox, the likeliest gateway first: by priority, those that lead out before those that do
    not, then by the network's name."""
    return sorted(endpoints, key=lambda end: (-end.priority, not (end.gateway or end.gateway6), end.network_name))


def default_routes(endpoints: Iterable[Endpoint]) -> tuple[str, str]:
    """Ids of the endpoints that carry a sandbox's default routes, for IPv4 and IPv6; "" for none."""
    ordered = gateway_order(endpoints)
    via4 = next((end.id for end in ordered if end.gateway), "")
    return via4, next((end.id for end in ordered if end.gateway6), "")


def free_interface(prefix: str, taken: Iterable[str]) -> str:
    """The first of `eth0`, `eth1`, … that a sandbox has not yet."""
    names = set(taken)
    return next(name for number in count() if (name := f"{prefix}{number}") not in names)
