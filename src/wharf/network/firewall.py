"""The packet filter of one instance: its nftables table, loaded whole at start; then a network is a few chains, a
published port one map element. What the chains are and do: rules.py, docs/flow-network.md."""

import contextlib
import threading
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address

from wharf.errors import Internal, Unavailable, WharfError
from wharf.kernel import conntrack, nft
from wharf.kernel.conntrack import UdpFlows
from wharf.kernel.nftables import Element, NftSocket
from wharf.network import rules
from wharf.network.coexist import foreign_drops, legacy_drop
from wharf.network.names import Names
from wharf.network.rules import elements_of
from wharf.spec.network import BridgeFacts, Endpoint, Port, PublishedPort

Address = IPv4Address | IPv6Address

__all__ = ["Firewall", "elements_of", "foreign_drops", "legacy_drop"]


class Firewall:
    """The table of one instance. Methods may be called from several threads."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._socket = NftSocket(names.table)
        self._flows = conntrack.open_socket()
        self._lock = threading.Lock()
        self._linked: dict[Address, dict[Address, list[Element]]] = {}
        """Target -> source -> what lets it in."""

    def load(self, networks: Sequence[BridgeFacts], endpoints: Iterable[Endpoint]) -> None:
        """Replace the whole table but the administrator's chain, with the elements of running endpoints, in one
        transaction: established connections and published ports go on without a gap. Raises Unavailable."""
        whole = rules.ruleset(self._names, networks, list(endpoints))
        with self._lock:
            try:
                nft.load(self._teardown() + whole)
            except Unavailable:
                # A table of another release, with other types; or rules of theirs that hold on to chains of ours.
                table = f"inet {self._names.table}"
                nft.load(f"add table {table}\ndelete table {table}\n{whole}")

    def add_network(self, facts: BridgeFacts) -> None:
        """Make a network's rules; again is fine. Raises Unavailable, then nothing has changed."""
        with self._lock:
            nft.load(rules.add_text(self._names, facts))

    def remove_network(self, facts: BridgeFacts) -> None:
        """Take a network's rules away; again is fine. Raises Unavailable."""
        with self._lock:
            nft.load(rules.remove_text(self._names, facts))

    def publish(self, endpoint: Endpoint) -> None:
        """Lead the endpoint's ports to it; raises Internal, then none of them is led."""
        added: list[tuple[str, Element]] = []
        try:
            for map_name, elements in elements_of(endpoint).items():
                self._socket.add(map_name, elements)
                added += [(map_name, element) for element in elements]
        except OSError as error:
            for map_name, element in added:
                self._socket.discard(map_name, [element])
            raise Internal(f"cannot publish ports of endpoint {endpoint.id}: {error.strerror}") from error
        for number, is_ipv6 in {(port.host_port, port.is_ipv6) for port in _udp(endpoint) if port.host_port}:
            self._forget(UdpFlows(to_port=number, ipv6=is_ipv6))  # senders that began before the port led anywhere

    def withdraw(self, endpoint: Endpoint) -> None:
        """Take the endpoint's elements away; those already gone are fine."""
        for map_name, elements in elements_of(endpoint).items():
            self._socket.discard(map_name, elements)  # netd may have been quicker
        if _udp(endpoint):
            for address in endpoint.addresses:
                self._forget(UdpFlows(answered_by=address, ipv6=address.version == 6))

    def link(self, source: Address, target: Address, ports: Iterable[Port]) -> None:
        """Let `source` reach these ports of `target` on a network without icc, again is fine; IPv4 only. Raises
        Internal."""
        if source.version != 4 or target.version != 4:
            return
        elements = [rules.linked_element(str(source), str(target), port.number, port.protocol) for port in ports]
        with self._lock:
            known = self._linked.setdefault(target, {}).setdefault(source, [])
            fresh = [element for element in elements if element not in known]
            try:
                self._socket.add("linked", fresh)
            except OSError as error:
                raise Internal(f"cannot link {source} to {target}: {error.strerror}") from error
            known += fresh

    def cut(self, address: Address) -> None:
        """Take the links from and to an address away; without any is fine."""
        with self._lock:
            gone = list(self._linked.pop(address, {}).values())
            gone += [sources.pop(address) for sources in self._linked.values() if address in sources]
            self._socket.discard("linked", [element for elements in gone for element in elements])

    def _forget(self, flows: UdpFlows) -> None:
        with contextlib.suppress(OSError):  # flows end by themselves too, only later
            conntrack.forget(self._flows, flows)

    def remove(self) -> None:
        """Remove the table; where the administrator's chain has rules it stays, and the empty sets with it. Fine if
        there is none."""
        table = f"inet {self._names.table}"
        with self._lock:
            if any(item.get("rule", {}).get("chain") == rules.USER_CHAIN for item in nft.table(self._names.table)):
                with contextlib.suppress(WharfError):
                    nft.load(self._teardown())
                    return
            nft.load(f"add table {table}\ndelete table {table}\n")

    def _teardown(self) -> str:
        items = nft.table(self._names.table)
        chains = [item["chain"]["name"] for item in items if "chain" in item]
        maps = [(kind, item[kind]["name"]) for item in items for kind in ("map", "set") if kind in item]
        return rules.teardown(self._names, chains, maps)

    def close(self) -> None:
        self._socket.close()
        self._flows.close()


def _udp(endpoint: Endpoint) -> list[PublishedPort]:
    return [port for port in endpoint.ports if port.port.protocol == "udp"]
