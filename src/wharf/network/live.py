"""A network that lives on the host: its layout, the interface that carries it, the addresses it has given out."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_interface

from wharf.errors import Invalid, NotImplementedYet, Unavailable
from wharf.kernel import netlink, sublinks
from wharf.kernel.netlink import Link, NetlinkSocket
from wharf.network import bridge
from wharf.network.endpoint import NO_KIND
from wharf.network.ipam import IN_USE, Address, AddressSpace
from wharf.network.layout import Layout, ParentPlan
from wharf.network.subnets import Subnet
from wharf.spec.network import Endpoint, NetworkRecord


@dataclass(frozen=True, slots=True)
class Wanted:
    """Addresses that a client asks for; None: any."""

    address: IPv4Address | None = None
    address6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """Addresses given out, and the next hops they lead to."""

    address: IPv4Interface | None = None
    gateway: IPv4Address | None = None
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None


class LiveNetwork:
    """Not thread-safe: the manager holds its lock."""

    def __init__(self, record: NetworkRecord, layout: Layout) -> None:
        """Raises Denied when gateway and auxiliary addresses collide."""
        self.record, self.layout = record, layout
        self.index = 0
        """Of the bridge, or of the parent interface."""
        self._spaces: list[tuple[Subnet, AddressSpace]] = [(subnet, subnet.space()) for subnet in layout.subnets]

    def take(self, wanted: Wanted) -> Given:
        """Addresses of each family that is on; raises Invalid, Unavailable in Docker's words, then none is taken."""
        taken: list[tuple[AddressSpace, Address]] = []
        try:
            address, gateway = self._take(4, wanted.address, taken)
            address6, gateway6 = self._take(6, wanted.address6, taken)
        except (Invalid, Unavailable) as error:
            for space, given in taken:
                space.release(given)
            if isinstance(error, Invalid):
                raise
            raise Unavailable(f"{error.message}: {self.record.name} ({self.record.id})") from None
        return Given(
            IPv4Interface(address) if address else None,
            IPv4Address(gateway) if gateway else None,
            IPv6Interface(address6) if address6 else None,
            IPv6Address(gateway6) if gateway6 else None,
        )

    def _take(
        self, version: int, wanted: Address | None, taken: list[tuple[AddressSpace, Address]]
    ) -> tuple[IPv4Interface | IPv6Interface | None, Address | None]:
        spaces = [(subnet, space) for subnet, space in self._spaces if subnet.network.version == version]
        failure: Unavailable | None = None
        for subnet, space in spaces:
            if wanted is not None and wanted not in subnet.network:
                continue
            try:
                if wanted is not None:
                    space.claim(wanted)
                    address = wanted
                else:
                    address = space.take()
            except Unavailable as error:
                failure = failure or error
                continue
            taken.append((space, address))
            gateway = subnet.gateway if not self.layout.internal else None
            return ip_interface((address.packed, subnet.network.prefixlen)), gateway
        if failure is not None:
            raise failure
        if wanted is not None:
            raise Invalid(IN_USE)
        return None, None

    def claim(self, endpoint: Endpoint) -> None:
        """Take over the addresses of an endpoint that lives already; raises Invalid, then none is taken."""
        done: list[tuple[AddressSpace, Address]] = []
        for address in endpoint.addresses:
            space = self._space(address)
            try:
                if space is None:
                    raise Invalid(f"{address} belongs to no subnet of network {self.record.name}")
                space.claim(address, passed=True)
            except Invalid:
                for other, given in done:
                    other.release(given)
                raise
            done.append((space, address))

    def give_back(self, endpoint: Endpoint) -> None:
        """Release the addresses of an endpoint."""
        for address in endpoint.addresses:
            space = self._space(address)
            if space is not None:
                space.release(address)

    def _space(self, address: Address) -> AddressSpace | None:
        return next((space for subnet, space in self._spaces if address in subnet.network), None)

    # -- on the host ---------------------------------------------------------------------------------------------

    def bring_up(self, route: NetlinkSocket, known: Mapping[int, set[netlink.Interface]] | None = None) -> None:
        """Make or find what carries the network; `known` as in bridge.present. Raises Unavailable, Invalid,
        NotImplementedYet."""
        if self.layout.bridge is not None:
            self.index = bridge.apply(route, bridge.present(route, self.layout.bridge, known)).index
        elif self.layout.parent is not None:
            _probe(route, self.layout.driver)
            self.index = _parent(route, self.layout.parent, self.layout.driver).index

    def carrier(self) -> str:
        """The interface on the host that carries the network."""
        layout = self.layout
        return layout.bridge.name if layout.bridge else layout.parent.name if layout.parent else ""

    def take_down(self, route: NetlinkSocket) -> None:
        """Remove what `bring_up` made; an interface of the administrator's stays."""
        name = self.carrier()
        link = netlink.link(route, name) if name else None
        mark = self.layout.bridge.mark if self.layout.bridge else self.layout.parent.mark if self.layout.parent else ""
        if link is not None and link.alias == mark:
            bridge.delete(route, link)


def _parent(route: NetlinkSocket, plan: ParentPlan, driver: str) -> Link:
    link = netlink.link(route, plan.name)
    if link is None:
        if not plan.dummy and not plan.vlan:
            raise Invalid(f"invalid subinterface vlan name {plan.name[:80]}, example formatting is eth0.10")
        _make_parent(route, plan, driver)
        link = netlink.link(route, plan.name)
    if link is None:
        raise Unavailable(f"interface {plan.name} did not appear")
    if link.loopback:
        raise Invalid(f"loopback interface is not a valid {driver} parent link")
    return link


def _make_parent(route: NetlinkSocket, plan: ParentPlan, driver: str) -> None:
    try:
        if plan.dummy:
            route.transact(sublinks.new_dummy(plan.name, plan.mark))
            return
        base = netlink.link(route, plan.base)
        if base is None:
            raise Invalid(f"interface {plan.base[:80]} of the parent {plan.name[:80]} does not exist")
        route.transact(sublinks.new_vlan(plan.name, base.index, plan.vlan, plan.mark))
    except OSError as error:
        kind = "dummy" if plan.dummy else "vlan"
        if error.errno in NO_KIND:
            raise NotImplementedYet(
                f"cannot make the parent interface of a {driver} network: this kernel has no {kind} interfaces: "
                f"{error.strerror}"
            ) from error
        raise Unavailable(f"cannot make the {kind} interface {plan.name}: {error.strerror}") from error


def _probe(route: NetlinkSocket, kind: str) -> None:
    """Raises NotImplementedYet where this kernel has no interfaces of a kind."""
    try:
        route.transact([sublinks.probe(kind)])
    except OSError as error:
        if error.errno in NO_KIND:
            raise NotImplementedYet(
                f"cannot create a {kind} network: this kernel has no {kind} interfaces: {error.strerror}"
            ) from error
