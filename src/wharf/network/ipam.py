"""Which subnet a network gets and which address an endpoint. Values only, no I/O."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import chain

from wharf.errors import Invalid, Unavailable
from wharf.spec.network import AddressPool

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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

NO_POOL = "could not find an available, non-overlapping {} address pool among the defaults to assign to the network"
IN_USE = "Address already in use"
_ULA_PREFIX, _ULA_BITS = 0xFD, 40


def ula_pool(seed: bytes) -> AddressPool:
    """The /48 of this instance for IPv6 networks without a subnet of their own, cut into /64s: fd, then 40 bits of
    `seed`, a digest that no two instances share (RFC 4193, section 3.2.1)."""
    number = int.from_bytes(bytes([_ULA_PREFIX]) + seed[: _ULA_BITS // 8], "big") << 80
    return AddressPool(IPv6Network((number, 48)), 64)


def subnets(pools: Sequence[AddressPool], version: int = 4) -> Iterator[Network]:
    """All subnets of one IP version that the pools offer, in order."""
    return chain.from_iterable(pool.base.subnets(new_prefix=pool.size) for pool in pools if _version(pool) == version)


def _version(pool: AddressPool) -> int:
    return pool.base.version


def choose_subnet(pools: Sequence[AddressPool], taken: Iterable[Network], version: int = 4) -> Network:
    """The first subnet that overlaps nothing taken (routes of the host, other networks); raises Unavailable.

    Subnets that overlap something are passed over in one step for each thing that is taken, not one by one: a pool
    may hold millions.
    """
    spans = _merged((int(net.network_address), int(net.broadcast_address)) for net in taken if net.version == version)
    starts = [first for first, _ in spans]
    for pool in pools:
        if pool.base.version != version:
            continue
        size = 1 << (pool.base.max_prefixlen - pool.size)
        start, last = int(pool.base.network_address), int(pool.base.broadcast_address)
        while start + size - 1 <= last:
            at = bisect_right(starts, start + size - 1) - 1
            if at < 0 or spans[at][1] < start:
                return pool.base.__class__((start, pool.size))
            start += ((spans[at][1] - start) // size + 1) * size
    raise Unavailable(NO_POOL.format(f"IPv{version}"))


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


class AddressSpace:
    """The addresses of one subnet: given out in turn, lowest first, a released one only when the turn comes again.

    An address just released may still be in a peer's ARP table or a client's retries; reusing it last avoids both.
    Only the range is given out in turn; any address of the subnet but its first and (IPv4) its last, which mean the
    subnet itself and its broadcast, can be claimed. An IPv4 subnet of one or two addresses
    has neither.
    """

    def __init__(self, subnet: Network, gateway: Address | None = None, within: Network | None = None) -> None:
        self._subnet = subnet
        small = subnet.version == 4 and subnet.prefixlen >= 31
        self._lowest = int(subnet.network_address) + (0 if small else 1)
        self._highest = int(subnet.broadcast_address) - (0 if small or subnet.version == 6 else 1)
        within = within or subnet
        self._first = max(self._lowest, int(within.network_address))
        self._last = min(self._highest, int(within.broadcast_address))
        self._taken: set[int] = set()
        self._free = self._last - self._first + 1
        self._next = self._first
        if gateway is not None:
            self._add(int(gateway))

    def take(self) -> Address:
        """The next free address; raises Unavailable when there is none."""
        if self._free <= 0:
            raise Unavailable(f"no available IPv{self._subnet.version} addresses on this network's address pools")
        while self._next in self._taken:
            self._advance()
        address = self._next
        self._add(address)
        self._advance()
        return self._address(address)

    def claim(self, address: Address, passed: bool = False) -> None:
        """Mark an address as taken; raises Invalid outside the subnet or if it is taken already. `passed`: the turn has
        gone by it, as for an endpoint that an earlier daemon gave it to."""
        number = int(address)
        if address.version != self._subnet.version or address not in self._subnet:
            raise Invalid(f"invalid address {address}: It does not belong to any of this network's subnets")
        if number in self._taken or not self._lowest <= number <= self._highest:
            raise Invalid(IN_USE)
        self._add(number)
        if passed and self._next <= number <= self._last:
            self._next = number
            self._advance()

    def release(self, address: Address) -> None:
        """Give an address back; unknown ones are ignored."""
        number = int(address)
        if number in self._taken:
            self._taken.discard(number)
            self._free += self._first <= number <= self._last

    def _add(self, number: int) -> None:
        if number not in self._taken:
            self._taken.add(number)
            self._free -= self._first <= number <= self._last

    def _address(self, number: int) -> Address:
        return IPv4Address(number) if self._subnet.version == 4 else IPv6Address(number)

    def _advance(self) -> None:
        self._next = self._first if self._next >= self._last else self._next + 1


def first_address(subnet: Network, within: Network | None = None) -> Address:
    """The address that a gateway gets when none is asked for: the first of the range, else of the subnet."""
    space = AddressSpace(subnet, None, within)
    return ip_address(str(space.take()))
