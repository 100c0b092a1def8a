"""What networks need of the host beside their interfaces: our packet filter, forwarding, and a way through the packet
filters of others."""

from collections.abc import Callable, Iterable, Sequence

from wharf.errors import WharfError
from wharf.kernel import nft
from wharf.network.coexist import ForwardAccept, foreign_drops, legacy_drop
from wharf.network.firewall import Address, Firewall
from wharf.network.forwarding import Forwarding
from wharf.network.names import Names
from wharf.spec.network import BridgeFacts, Endpoint, Port


class HostRules:
    """The rules of one instance (network/contracts.py: PacketFilter). `say` hears what is changed on the host."""

    def __init__(self, names: Names, ip_forward: bool, forward_accept: bool, say: Callable[[str], None]) -> None:
        self._names, self._say = names, say
        self.filter = Firewall(names)
        self._forwarding = Forwarding(ip_forward, say)
        self._accept = ForwardAccept(names) if forward_accept else None
        self._bridges: dict[str, str] = {}
        """Network id -> bridge."""
        self.warnings: list[str] = []
        """What a person should know about this host's network, as found at start."""

    def load(self, networks: Sequence[BridgeFacts], endpoints: Iterable[Endpoint]) -> None:
        """Make everything so for these networks and running endpoints, in place of what an earlier daemon left. Raises
        Unavailable, OSError."""
        self._warn(self._forwarding.at_start())
        for facts in networks:
            self._bridges[facts.network_id] = facts.bridge
            if facts.subnet6 or not facts.is_default:
                try:
                    self._forwarding.need(facts)
                except WharfError as error:
                    self._warn(error.message)
        self.filter.load(networks, endpoints)
        self._let_through()
        self._look_at_others(any(facts.subnet6 for facts in networks))

    def add_network(self, facts: BridgeFacts) -> None:
        """Raises Unavailable; then the network has no rules."""
        self._forwarding.need(facts)
        self.filter.add_network(facts)
        self._bridges[facts.network_id] = facts.bridge
        self._let_through()

    def remove_network(self, facts: BridgeFacts) -> None:
        """Again is fine. Raises Unavailable."""
        self.filter.remove_network(facts)
        if self._bridges.pop(facts.network_id, None):
            self._let_through()

    def publish(self, endpoint: Endpoint) -> None:
        """Raises Internal; then none of its ports is led."""
        self.filter.publish(endpoint)

    def withdraw(self, endpoint: Endpoint) -> None:
        """Again is fine."""
        self.filter.withdraw(endpoint)

    def link(self, source: Address, target: Address, ports: Iterable[Port]) -> None:
        """See Firewall.link."""
        self.filter.link(source, target, ports)

    def cut(self, address: Address) -> None:
        """See Firewall.cut."""
        self.filter.cut(address)

    def remove(self) -> None:
        """Take all of it away; forwarding stays as it is. Raises Unavailable."""
        if self._accept:
            self._accept.remove()
        self.filter.remove()

    def close(self) -> None:
        self.filter.close()

    def _let_through(self) -> None:
        if self._accept is None:
            return
        try:
            for line in self._accept.apply(self._bridges.values()):
                self._say(line)
        except (WharfError, ValueError) as error:
            self._warn(f"cannot let containers' packets through the firewall of another program: {error}")

    def _look_at_others(self, ipv6: bool) -> None:
        try:
            listing = nft.listing()
        except (WharfError, ValueError) as error:  # rules of others that this nft cannot show: no reason to fail
            self._say(f"cannot read the firewall rules of other programs: {error}")
            listing = []
        for warning in foreign_drops(listing, self._names, ipv6=ipv6):
            self._warn(warning)
        if nft.legacy_forward_policy() == "DROP":
            self._warn(legacy_drop(self._names))

    def _warn(self, text: str) -> None:
        if text:
            self.warnings.append(text)
            self._say(text)
