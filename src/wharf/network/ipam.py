"""Which subnet a network gets and which address an endpoint. Values only, no I/O."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from wharf.errors import Invalid, Unavailable
from wharf.spec.network import AddressPool

DEFAULT_POOLS = tuple(
    AddressPool(IPv4Network(base), size)
    for base, size in (
        ("172.17.0.0/16", 16),
        ("172.18.0.0/16", 16),
        ("172.19.0.0/16", 16),
        ("172.20.0.0/14", 16),
        ("172.24.0.0/14", 16),
        ("172.28.0.0/14", 16),
        ("192.168.0.0/16", 20),
    )
)
"""Docker's list (libnetwork's local address pools)."""

NO_POOL = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"


def subnets(pools: Sequence[AddressPool]) -> Iterator[IPv4Network]:
    """All subnets that the pools offer, in order."""
    bases = ((pool.base, pool.size) for pool in pools)
    return chain.from_iterable(base.subnets(new_prefix=size) for base, size in bases if isinstance(base, IPv4Network))


def choose_subnet(pools: Sequence[AddressPool], taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first subnet that overlaps nothing taken (routes of the host, other networks); raises Unavailable."""
    occupied = list(taken)
    for candidate in subnets(pools):
        if not any(candidate.overlaps(other) for other in occupied):
            return candidate
    raise Unavailable(NO_POOL)


class AddressSpace:
    """The addresses of one subnet: given out in turn, lowest first, a released one only when the turn comes again.

    An address just released may still be in a peer's ARP table or a client's retries; reusing it last avoids both.
    """

    def __init__(self, subnet: IPv4Network, gateway: IPv4Address) -> None:
        self._subnet = subnet
        self._first, self._last = int(subnet.network_address) + 1, int(subnet.broadcast_address) - 1
        self._taken = {int(gateway)}
        self._next = self._first

    def take(self) -> IPv4Address:
        """The next free address; raises Unavailable when there is none."""
        if len(self._taken) > self._last - self._first:
            raise Unavailable("no available IPv4 addresses on this network's address pools")
        while self._next in self._taken:
            self._advance()
        address = self._next
        self._taken.add(address)
        self._advance()
        return IPv4Address(address)

    def claim(self, address: IPv4Address) -> None:
        """Mark the address of an endpoint that lives already; raises Invalid outside the subnet or if taken."""
        number = int(address)
        if not self._first <= number <= self._last:
            raise Invalid(f"invalid address {address}: It does not belong to any of this network's subnets")
        if number in self._taken:
            raise Invalid(f"Address already in use: {address}")
        self._taken.add(number)
        if number >= self._next:
            self._next = number
            self._advance()

    def release(self, address: IPv4Address) -> None:
        """Give an address back; unknown ones are ignored."""
        self._taken.discard(int(address))

    def _advance(self) -> None:
        self._next = self._first if self._next >= self._last else self._next + 1
