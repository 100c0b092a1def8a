"""Who is called what: the tables that netd answers from, and what one sandbox gets to hear. No I/O.

An endpoint is known on its network by its names; a resolver sees the networks that its sandbox is on. `web` is looked
for on each of them in turn, `web.<network>` on that one only; a link's alias counts before a name, and for its own
sandbox alone.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wharf.network.netd.dns_codec import (
    AAAA,
    IN,
    MAX_MESSAGE,
    PTR,
    A,
    Query,
    Record,
    answer,
    reverse_address,
    write_name,
)

TTL = 600
"""Seconds; as Docker's."""
_LENGTH_OF_KIND = {A: 4, AAAA: 16}


@dataclass(frozen=True, slots=True)
class Named:
    """One endpoint: its names in lower case, its packed addresses, what an address of it is called, in wire form."""

    network: str
    sandbox: str
    names: tuple[str, ...]
    addresses: tuple[bytes, ...]
    reverse: bytes


@dataclass(frozen=True, slots=True)
class View:
    """What one sandbox's resolver sees; `links`: alias -> (network id, name there)."""

    networks: tuple[str, ...]
    links: Mapping[str, tuple[str, str]]
    servers: tuple[tuple[str, bool], ...]
    """(address, asked from the host's namespace)."""
    forward: bool = True
    ndots: bool = False


@dataclass(slots=True)
class _Network:
    suffix: str
    names: dict[str, dict[str, tuple[bytes, ...]]] = field(default_factory=dict)
    reverse: dict[bytes, bytes] = field(default_factory=dict)


class Tables:
    """All networks of an instance. A table made anew takes the place of the old one in one assignment."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Named] = {}
        self._networks: dict[str, _Network] = {}

    def put(self, ident: str, named: Named, network_name: str) -> None:
        """Make an endpoint known, in place of what was said of it before."""
        self.drop(ident)
        network = self._networks.setdefault(named.network, _Network("." + network_name.lower()))
        self._endpoints[ident] = named
        for name in named.names:
            network.names.setdefault(name, {})[ident] = named.addresses
        for address in named.addresses:
            network.reverse[address] = named.reverse

    def drop(self, ident: str) -> None:
        """Forget an endpoint; one that is not known is fine."""
        named = self._endpoints.pop(ident, None)
        if named is None:
            return
        network = self._networks[named.network]
        for name in named.names:
            bearers = network.names[name]
            bearers.pop(ident, None)
            if not bearers:
                del network.names[name]
        for address in named.addresses:
            network.reverse.pop(address, None)
        if not network.names:
            del self._networks[named.network]

    def drop_sandbox(self, sandbox: str) -> None:
        for ident in [ident for ident, named in self._endpoints.items() if named.sandbox == sandbox]:
            self.drop(ident)

    def sandboxes(self) -> set[str]:
        return {named.sandbox for named in self._endpoints.values()}

    def idents(self) -> Iterable[str]:
        return self._endpoints.keys()

    def find(self, view: View, name: str) -> tuple[bytes, ...] | None:
        """All addresses that a name has for this sandbox, of the first network that knows it for each family; None:
        nobody is called so."""
        found: dict[int, tuple[bytes, ...]] = {}
        known = False
        for bearers in self._bearers(view, name):
            known = True
            here: dict[int, tuple[bytes, ...]] = {}
            for addresses in bearers.values():
                for address in addresses:
                    here[len(address)] = (*here.get(len(address), ()), address)
            for length, addresses in here.items():
                found.setdefault(length, addresses)
        return sum(found.values(), ()) if known else None

    def find_name(self, view: View, address: bytes) -> bytes | None:
        """What an address is called, in wire form."""
        for ident in view.networks:
            network = self._networks.get(ident)
            if network and (name := network.reverse.get(address)):
                return name
        return None

    def _bearers(self, view: View, name: str) -> Iterator[dict[str, tuple[bytes, ...]]]:
        yield from self._called(view, name, view.networks)
        for ident in view.networks:
            network = self._networks.get(ident)
            if network and name.endswith(network.suffix):
                yield from self._called(view, name[: -len(network.suffix)], (ident,))

    def _called(self, view: View, name: str, networks: tuple[str, ...]) -> Iterator[dict[str, tuple[bytes, ...]]]:
        if (link := view.links.get(name)) and link[0] in networks:
            network = self._networks.get(link[0])
            if network and (bearers := network.names.get(link[1].lower())):
                yield bearers
                return
        for ident in networks:
            network = self._networks.get(ident)
            if network and (bearers := network.names.get(name)):
                yield bearers


def named(network: str, network_name: str, sandbox: str, names: Iterable[str], addresses: Iterable[bytes]) -> Named:
    """An endpoint as the tables keep it. A name that DNS cannot hold is left out; nobody could ask for it."""
    kept = tuple(dict.fromkeys(name.lower().rstrip(".") for name in names))
    reverse = b""
    for name in kept:
        try:
            reverse = write_name(f"{name}.{network_name}")
            break
        except ValueError:
            continue
    return Named(network, sandbox, kept, tuple(addresses), reverse)


def reply(tables: Tables, view: View, query: Query, limit: int = MAX_MESSAGE) -> bytes | None:
    """The answer that we know by ourselves, None: others are to be asked.

    A name that is known but has nothing of the kind asked for gets an empty answer (RFC 2308 NODATA): asked elsewhere,
    "no such name" would come back and make the asker forget the address as well.
    """
    if query.cls != IN:
        return None
    if query.kind == PTR and (address := reverse_address(query.name)) is not None:
        found = tables.find_name(view, address)
        return answer(query, records=[Record(PTR, found)], ttl=TTL, limit=limit) if found else None
    addresses = tables.find(view, query.name)
    if addresses is None:
        single = "." not in query.name and query.kind in _LENGTH_OF_KIND
        return answer(query) if view.ndots and single else None
    length = _LENGTH_OF_KIND.get(query.kind, 0)
    records = [Record(query.kind, address) for address in addresses if len(address) == length]
    random.shuffle(records)
    return answer(query, records=records, ttl=TTL, limit=limit)
