"""The networks of one instance: records, subnets, bridges; made and removed in named steps.

create   subnets chosen -> bridge on the host -> rules -> stored
remove   stored as gone -> rules and bridge

The record is the truth. A start brings what is stored onto the host and removes from it what carries this instance's
mark and is not stored: whatever step a killed daemon was at, the old state or the new one is there after.
"""

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from socket import AF_INET, AF_INET6

from wharf.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WharfError
from wharf.kernel import faults, netlink
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge
from wharf.network.contracts import NetworkStore, Rules
from wharf.network.ipam import DEFAULT_POOLS, Network, choose_subnet, first_address, ula_pool
from wharf.network.layout import DRIVERS, Layout, read_layout, same_bridge
from wharf.network.live import LiveNetwork
from wharf.network.names import Names
from wharf.network.subnets import OVERLAP, Subnet, parse_subnets
from wharf.spec.finding import Finding
from wharf.spec.network import PREDEFINED, AddressPool, BridgeFacts, Ipam, IpamConfig, NetworkRecord

Found = tuple[Finding, Callable[[], object] | None]
MAX_NETWORKS = 20_000
"""More bridges than that no kernel carries well; a longer list can only be a mistake."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What new networks get: pools for those without a subnet, the MTU, the seed of IPv6 subnets."""

    pools: tuple[AddressPool, ...] = ()
    mtu: int = 1500
    seed: bytes = bytes(20)


class Networks:
    """User-defined networks, live, beside the records of all. Methods are safe from any thread."""

    def __init__(self, names: Names, settings: Settings, store: NetworkStore, warn: Callable[[str], None]) -> None:
        self._names, self._settings, self._store, self._warn = names, settings, store, warn
        self._records: dict[str, NetworkRecord] = {}
        self._live: dict[str, LiveNetwork] = {}
        self._changing = threading.Lock()
        """Held while a network is made or removed: subnets are chosen against all others."""
        self.lock = threading.RLock()
        """Held for moments: guards tables and addresses."""

    # -- what there is -------------------------------------------------------------------------------------------

    def adopt(self, record: NetworkRecord, live: LiveNetwork | None = None) -> None:
        """Take in a record that is stored, with what carries it."""
        with self.lock:
            self._records[record.id] = record
            if live is not None:
                self._live[record.id] = live

    def all(self) -> list[NetworkRecord]:
        """All records, the predefined ones first."""
        with self.lock:
            return sorted(self._records.values(), key=lambda item: item.name not in PREDEFINED)

    def find(self, name: str) -> NetworkRecord:
        """By id, by name, or by an unambiguous beginning of an id; raises NotFound, Invalid."""
        with self.lock:
            exact = self._records.get(name) or next((r for r in self._records.values() if r.name == name), None)
            if exact is not None:
                return exact
            found = [record for record in self._records.values() if name and record.id.startswith(name)]
        if len(found) > 1:
            raise Invalid(f"network {name} is ambiguous ({len(found)} matches found based on ID prefix)")
        if not found:
            raise NotFound(f"network {name} not found")
        return found[0]

    def live(self, network_id: str) -> LiveNetwork | None:
        """What carries a network: None for host, none and those that only hold a configuration."""
        return self._live.get(network_id)

    def layouts(self) -> list[Layout]:
        """Of all networks that have one."""
        with self.lock:
            return [live.layout for live in self._live.values()]

    def facts(self) -> list[BridgeFacts]:
        """The bridge networks as the firewall sees them, the default one first."""
        return sorted((item.facts for item in self.layouts() if item.facts), key=lambda item: not item.is_default)

    def stored_subnets(self) -> list[Network]:
        """Subnets of the networks that are stored, whether they are on the host yet or not (after a reboot)."""
        found = []
        for record in self._store.all():
            if record.name not in PREDEFINED and not record.config_only:
                with contextlib.suppress(WharfError):
                    found += [subnet.network for subnet in parse_subnets(record.ipam.config or ())]
        return found

    # -- start-up ------------------------------------------------------------------------------------------------

    def restore(self, route: NetlinkSocket) -> None:
        """Bring the stored networks onto the host and remove what is left of others. One that the host no longer
        carries (its parent interface is gone) stays, with a warning: its endpoints cannot start."""
        known = bridge.addresses_by_link(route)
        for record in self._store.all():
            if record.name in PREDEFINED or record.id in self._records:
                continue
            if record.config_only:
                self.adopt(record)
                continue
            try:
                live = LiveNetwork(record, read_layout(record, self._names, self._settings.mtu))
            except WharfError as error:
                self._warn(f"network {record.name} cannot be used: {error.message}")
                self.adopt(record)
                continue
            self.adopt(record, live)
            self._bring_up(route, live, known)
        for name in _remove_strays(route, self._names, self._records):
            self._warn(f"removed interface {name}: no network has it")

    def _bring_up(self, route: NetlinkSocket, live: LiveNetwork, known: Mapping[int, set[netlink.Interface]]) -> None:
        try:
            live.bring_up(route, known)
        except (WharfError, OSError) as error:
            self._warn(f"network {live.record.name} cannot be brought up: {error}")

    def strays(self, route: NetlinkSocket) -> list[Found]:
        """Interfaces with this instance's mark that no network has, and networks without theirs, each with what mends
        it. Raises OSError."""
        with self._changing, self.lock:
            links = netlink.links(route)
            present = {link.name for link in links}
            found: list[Found] = [
                (Finding("link", link.name, "no network has it"), partial(bridge.delete, route, link))
                for link in links
                if (network_id := self._names.marked(link.alias)) and network_id not in self._records
            ]
            for live in self._live.values():
                carrier = live.carrier()
                if carrier and carrier not in present:
                    problem = f"its interface {carrier} is not on the host"
                    found.append((Finding("network", live.record.name, problem), partial(live.bring_up, route)))
        return found

    # -- making and removing -------------------------------------------------------------------------------------

    def create(self, wanted: NetworkRecord, route: NetlinkSocket, rules: Rules) -> NetworkRecord:
        """Make a network; `wanted` has its driver, families, configuration and options, its id and time are given here.

        Raises Conflict (the name), Denied (overlaps, predefined), Invalid, NotFound (no such driver), Unavailable, in
        Docker's words; then nothing is left.
        """
        with self._changing, contextlib.ExitStack() as undo:
            self._check(wanted)
            record = dataclasses.replace(wanted, id=secrets.token_hex(32), created=now())
            if record.config_only:
                self._keep(record, None)
                return record
            record.ipam = self._with_subnets(record, route)
            layout = read_layout(record, self._names, self._settings.mtu)
            self._check_against_others(layout)
            live = LiveNetwork(record, layout)
            faults.done("network-create:planned")
            undo.callback(_quietly, lambda: live.take_down(route))
            live.bring_up(route)
            faults.done("network-create:bridge")
            if layout.facts is not None:
                facts = layout.facts
                undo.callback(_quietly, lambda: rules.remove_network(facts))
                rules.add_network(facts)
            faults.done("network-create:rules")
            self._keep(record, live)
            faults.done("network-create:stored")
            undo.pop_all()
        return record

    def _keep(self, record: NetworkRecord, live: LiveNetwork | None) -> None:
        self._store.put(record)
        self.adopt(record, live)

    def remove(self, record: NetworkRecord, route: NetlinkSocket, rules: Rules) -> None:
        """Remove a network that `retire` has taken from view; where it cannot be stored as gone, it is there again."""
        with self._changing:
            live = self._live.pop(record.id, None)
            try:
                self._store.delete(record.id)
            except BaseException:
                self.adopt(record, live)
                raise
            faults.done("network-remove:stored")
            if live is None:
                return
            # Beside each other: both wait for the kernel, 10 to 60 ms each. The bridge goes where the rules cannot.
            with ThreadPoolExecutor(1) as beside:
                taken_down = beside.submit(live.take_down, route)
                if live.layout.facts is not None:
                    rules.remove_network(live.layout.facts)
                faults.done("network-remove:rules")
                taken_down.result()
            faults.done("network-remove:bridge")

    def retire(self, record: NetworkRecord) -> None:
        """Take a network from view, so that nothing starts on it any more; the caller holds `lock`. Raises Denied."""
        if any(other.config_from.network == record.name for other in self._records.values()) and record.config_only:
            raise Denied(f'error while removing network: configuration network "{record.name}" is in use')
        if self._records.pop(record.id, None) is None:
            raise NotFound(f"network {record.name} not found")

    # -- inside --------------------------------------------------------------------------------------------------

    def _check(self, wanted: NetworkRecord) -> None:
        if any(record.name == wanted.name for record in self.all()):
            raise Conflict(f"network with name {wanted.name} already exists")
        if len(self._records) >= MAX_NETWORKS:
            raise Unavailable(f"too many networks: the limit is {MAX_NETWORKS}")
        parse_subnets(wanted.ipam.config or ())
        if wanted.config_only:
            return
        if wanted.driver in ("host", "null"):
            raise Denied(f'only one instance of "{wanted.driver}" network is allowed')
        if wanted.driver not in DRIVERS:
            raise NotFound(f'plugin "{wanted.driver[:200]}" not found')
        if wanted.ipam.driver not in ("default", "null"):
            raise NotFound(f'plugin "{wanted.ipam.driver[:200]}" not found')
        if wanted.ipam.driver == "null":
            raise Invalid("ipv4 pool is empty")
        if not wanted.enable_ipv4 and not wanted.enable_ipv6:
            raise Invalid("IPv4 or IPv6 must be enabled")

    def _check_against_others(self, layout: Layout) -> None:
        others = self.layouts()
        same_bridge(layout, others)
        for other in others:
            if _overlap(layout.subnets, other.subnets):
                raise Denied(OVERLAP)
            both = layout.parent, other.parent
            if layout.driver == other.driver == "macvlan" and both[0] and both[1] and both[0].name == both[1].name:
                raise Denied(f"network {other.network_id} is already using parent interface {both[0].name}")

    def _with_subnets(self, record: NetworkRecord, route: NetlinkSocket) -> Ipam:
        """The configuration with a subnet for each family that is on, IPv4 first."""
        given = list(record.ipam.config or ())
        by_version = {version: [c for c in given if (":" in c.subnet) == (version == 6)] for version in (4, 6)}
        for version, on, family in ((4, record.enable_ipv4, AF_INET), (6, record.enable_ipv6, AF_INET6)):
            if on and not by_version[version]:
                by_version[version] = [self._choose(version, netlink.routes(route, family))]
        return dataclasses.replace(record.ipam, config=by_version[4] + by_version[6])

    def _choose(self, version: int, routes: Iterable[Network]) -> IpamConfig:
        taken = [*routes, *(subnet.network for layout in self.layouts() for subnet in layout.subnets)]
        pools = self._settings.pools or DEFAULT_POOLS
        if version == 6 and not any(pool.base.version == 6 for pool in pools):
            pools = (ula_pool(self._settings.seed),)
        if version == 4 and not any(pool.base.version == 4 for pool in pools):
            pools = DEFAULT_POOLS
        subnet = choose_subnet(pools, taken, version)
        return IpamConfig(subnet=str(subnet), gateway=str(first_address(subnet)))


def _overlap(ours: Iterable[Subnet], theirs: Sequence[Subnet]) -> bool:
    return any(
        one.network.version == other.network.version and one.network.overlaps(other.network)
        for one in ours
        for other in theirs
    )


def _remove_strays(route: NetlinkSocket, names: Names, keep: Iterable[str]) -> list[str]:
    try:
        return bridge.remove_marked(route, names, set(keep))
    except OSError as error:
        raise Unavailable(f"cannot remove interfaces of networks that are gone: {error}") from error


def _quietly(action: Callable[[], object]) -> None:
    with contextlib.suppress(WharfError, OSError):
        action()


def now() -> str:
    """The time as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
