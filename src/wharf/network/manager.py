"""The networks of one instance: records, addresses, endpoints and published ports, put together.

A start goes allocate -> publish -> (sandbox made) -> connect; release undoes any of it and may come at any point.
Nothing of the hot path walks tables or runs a command.
"""

import contextlib
import dataclasses
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from wharf.errors import Internal, NotFound, Unavailable, WharfError
from wharf.kernel import netlink, nft
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge, strays
from wharf.network import endpoint as endpoints
from wharf.network.contracts import NetworkStore, Relay
from wharf.network.endpoint import SandboxTarget
from wharf.network.firewall import Firewall, foreign_drops, legacy_drop
from wharf.network.ipam import DEFAULT_POOLS, AddressSpace
from wharf.network.names import Names
from wharf.network.plan import Addressing, BridgePlan, plan_bridge, plan_endpoint
from wharf.network.ports import PortTable
from wharf.spec.finding import Finding
from wharf.spec.network import (
    PREDEFINED,
    AddressPool,
    BridgeFacts,
    Endpoint,
    Ipam,
    IpamConfig,
    NetworkRecord,
    PortRequest,
)

__all__ = ["NetworkConfig", "NetworkManager", "NetworkStore", "Published", "Relay", "SandboxTarget"]


_MAX_HELD = 128


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Settings of one instance; `instance` is names.instance_id(data_root)."""

    instance: str
    bip: str = ""
    default_pools: tuple[AddressPool, ...] = ()
    mtu: int = 1500
    ip_forward: bool = True


@dataclass(slots=True)
class Published:
    """An endpoint with its ports, and the sockets that reserve them, to be handed to the monitor."""

    endpoint: Endpoint
    sockets: list[socket.socket] = field(default_factory=list)

    def to_hold(self) -> tuple[int, ...]:
        """Descriptors for the monitor: what fits into one message (SCM_MAX_FD is 253). netd holds all of them."""
        return tuple(sock.fileno() for sock in self.sockets[:_MAX_HELD])

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


class NetworkManager:
    """See the module. Methods block for at most some milliseconds and may be called from several threads."""

    def __init__(
        self, config: NetworkConfig, store: NetworkStore, warn: Callable[[str], None], relay: Relay | None = None
    ) -> None:
        self._config, self._store, self._warn, self._relay = config, store, warn, relay
        self._names = Names(config.instance)
        self._lock = threading.Lock()
        self._records: dict[str, NetworkRecord] = {}
        self._warnings: list[str] = []
        self._ports = PortTable()
        self._open: dict[str, Published] = {}
        self._held: dict[str, Endpoint] = {}
        self._closing, self._removal = contextlib.ExitStack(), contextlib.ExitStack()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, running: Sequence[Endpoint] = ()) -> None:
        """Make or find bridge and table, take over the endpoints of running containers, remove what is left of
        others. Raises Unavailable when the host does not let us; then nothing new is left."""
        try:
            self._start(running)
        except BaseException:
            self.close(remove=not running)
            raise

    def _start(self, running: Sequence[Endpoint]) -> None:
        self._route = NetlinkSocket()
        self._closing.callback(self._route.close)
        self._plan = self._plan_bridge()
        self._removal.callback(bridge.remove, self._route, self._names.bridge)
        self._bridge = bridge.apply(self._route, self._plan).index
        self._keep_records()
        self._space = AddressSpace(self._plan.subnet, self._plan.gateway)
        for endpoint in running:
            self._take_over(endpoint)
        live = list(self._held.values())
        if self._relay:
            self._relay.restore(live)
        prefix = self._names.veth_prefix
        bridge.remove_veths(self._route, prefix, {self._names.veth(endpoint.id) for endpoint in live})
        self._removal.callback(bridge.remove_veths, self._route, prefix, set())
        self._firewall = Firewall(self._names)
        self._closing.callback(self._firewall.close)
        self._removal.callback(self._firewall.remove)
        self._firewall.load(self.facts(), live)
        self._forward()
        self._look_at_others()

    def close(self, remove: bool) -> None:
        """Let go of everything; `remove`: no container runs, so take bridge and table away too. Never raises."""
        if self._relay:
            self._relay.close(stop=remove)
        try:
            if remove:
                self._removal.close()
        except (OSError, WharfError) as error:
            self._warn(f"cannot remove the network of this instance: {error}")
        self._closing.close()

    # -- networks ------------------------------------------------------------------------------------------------

    @property
    def gateway(self) -> IPv4Address:
        """The default bridge's own address (`host-gateway`)."""
        return self._plan.gateway

    def networks(self) -> list[NetworkRecord]:
        """All records, the predefined ones first."""
        return list(self._records.values())

    def facts(self) -> list[BridgeFacts]:
        """The bridge networks as the firewall sees them, the default one first."""
        record, plan = self._records["bridge"], self._plan
        return [BridgeFacts(record.id, record.name, plan.name, plan.subnet, plan.gateway, is_default=True)]

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """The endpoints that live on a network now, those of starts under way included."""
        with self._lock:
            return [endpoint for endpoint in self._held.values() if endpoint.network_id == network_id]

    def find(self, name: str) -> NetworkRecord:
        """By name, id, or an unambiguous beginning of an id; raises NotFound."""
        exact = [record for record in self._records.values() if name in (record.name, record.id)]
        found = exact or [record for record in self._records.values() if name and record.id.startswith(name)]
        if len(found) != 1:
            raise NotFound(f"network {name} not found")
        return found[0]

    def warnings(self) -> list[str]:
        """What a person should know about this host's network, for `info`."""
        return list(self._warnings)

    # -- endpoints -----------------------------------------------------------------------------------------------

    def allocate(self, network: str, sandbox_id: str, mac: str = "") -> Endpoint:
        """Reserve an address on a bridge network under a fresh endpoint id; raises NotFound, Unavailable."""
        record = self.find(network)
        if record.driver != "bridge":
            raise Internal(f"network {record.name} has no endpoints of its own")
        with self._lock:
            endpoint = Endpoint(
                id=secrets.token_hex(32),
                network_id=record.id,
                network_name=record.name,
                sandbox_id=sandbox_id,
                address=IPv4Interface((self._space.take(), self._plan.subnet.prefixlen)),
                gateway=self._plan.gateway,
                mac=mac or bridge.random_mac(),
            )
            self._held[endpoint.id] = endpoint
        return endpoint

    def publish(self, endpoint: Endpoint, container_name: str, requests: Sequence[PortRequest]) -> Published:
        """Bind the host ports; raises Internal in Docker's words. Nothing leads to the container yet."""
        try:
            bound = self._ports.bind(endpoint.id, endpoint.addresses[0], requests) if requests else []
        except WharfError as error:
            raise Internal(
                "failed to set up container networking: driver failed programming external connectivity on endpoint "
                f"{container_name} ({endpoint.id}): {error.message}"
            ) from error
        endpoint = dataclasses.replace(endpoint, ports=tuple(binding.port for binding in bound))
        published = Published(endpoint, [binding.socket for binding in bound])
        with self._lock:
            self._held[endpoint.id] = endpoint
            self._open[endpoint.id] = published
        return published

    def connect(self, published: Published, target: SandboxTarget) -> None:
        """Wire the sandbox and lead the published ports to it; raises Internal. Our copies of the sockets close."""
        endpoint = published.endpoint
        endpoints.connect(self._route, self._bridge, plan_endpoint(self._names, self._config.mtu, endpoint), target)
        if endpoint.ports:
            self._firewall.publish(endpoint)
            if self._relay:
                self._relay.publish(endpoint, published.sockets, target.monitor)
        with self._lock:
            self._open.pop(endpoint.id, None)
        published.close()

    def release(self, endpoint: Endpoint) -> None:
        """Give back address and ports, at whatever step the endpoint is; again is fine, and it never raises."""
        with self._lock:
            published = self._open.pop(endpoint.id, None)
            held = self._held.pop(endpoint.id, None)
            if held:
                self._give_back(held)
        if published:
            published.close()
        if held and held.ports:
            if self._relay:
                self._relay.release(held)  # first: once it has forgotten, it cannot take a successor's elements away
            with contextlib.suppress(OSError):
                self._firewall.withdraw(held)
            self._ports.release(held)

    def strays(self) -> list[tuple[Finding, Callable[[], object] | None]]:
        """What the host has of this network and no container stands behind, or the other way round; each with what
        mends it. Blocks for some tenths of a second when something is found."""
        found = strays.stray_veths(self._route, self._names, lambda: list(self._held.values()))
        with self._lock:  # no endpoint comes or goes; those being wired have no elements yet
            wired = [endpoint for endpoint in self._held.values() if endpoint.id not in self._open]
        suspects = list(strays.wrong_elements(self._firewall, self._names, wired))
        if not suspects:
            return found
        time.sleep(strays.DYING)
        with self._lock:
            wired = [endpoint for endpoint in self._held.values() if endpoint.id not in self._open]
        again = {item.object for item, _ in strays.wrong_elements(self._firewall, self._names, wired)}
        return found + [item for item in suspects if item[0].object in again]

    # -- inside --------------------------------------------------------------------------------------------------

    def _plan_bridge(self) -> BridgePlan:
        records = {record.name: record for record in self._store.all()}
        remembered = _subnet_of(records["bridge"]) if "bridge" in records else None
        self._records = {record.name: record for record in _predefined(records, self._names.bridge, self._config.mtu)}
        wanted = Addressing(self._config.bip, remembered, self._config.default_pools or DEFAULT_POOLS)
        try:
            present = bridge.present_address(self._route, self._names.bridge)
            routes = netlink.routes(self._route)
        except OSError as error:
            raise Unavailable(f"cannot read this host's interfaces and routes: {error}") from error
        return plan_bridge(self._names.bridge, self._config.mtu, wanted, present, routes)

    def _keep_records(self) -> None:
        default = self._records["bridge"]
        default.ipam.config = [IpamConfig(subnet=str(self._plan.subnet), gateway=str(self._plan.gateway))]
        known = self._store.all()
        for record in self._records.values():
            if record not in known:
                self._store.put(record)

    def _take_over(self, endpoint: Endpoint) -> None:
        try:
            if endpoint.address:
                self._space.claim(endpoint.address.ip)
        except WharfError as error:
            self._note(f"endpoint {endpoint.id[:12]} cannot be taken over: {error.message}")
            return
        self._ports.claim(endpoint.id, endpoint.ports)
        self._held[endpoint.id] = endpoint

    def _give_back(self, endpoint: Endpoint) -> None:
        if endpoint.address:
            self._space.release(endpoint.address.ip)

    def _forward(self) -> None:
        if self._config.ip_forward:
            if bridge.write_sysctl("ipv4/ip_forward", "1"):
                self._warn("switched on forwarding of IPv4 packets (net.ipv4.ip_forward)")
        elif bridge.read_sysctl("ipv4/ip_forward") != "1":
            self._note("IPv4 forwarding is disabled. Networking will not work.")

    def _look_at_others(self) -> None:
        try:
            listing = nft.listing()
        except (WharfError, ValueError) as error:  # rules of others that this nft cannot show: no reason to fail
            self._warn(f"cannot read the firewall rules of other programs: {error}")
            listing = []
        for warning in foreign_drops(listing, self._names):
            self._note(warning)
        if nft.legacy_forward_policy() == "DROP":
            self._note(legacy_drop(self._names))

    def _note(self, warning: str) -> None:
        self._warnings.append(warning)
        self._warn(warning)


def _subnet_of(record: NetworkRecord) -> IPv4Interface | None:
    for config in record.ipam.config or ():
        with contextlib.suppress(ValueError):
            return IPv4Interface((IPv4Address(config.gateway), IPv4Network(config.subnet).prefixlen))
    return None


def _predefined(known: dict[str, NetworkRecord], bridge_name: str, mtu: int) -> list[NetworkRecord]:
    """The records of bridge, host and none: those kept, else new ones; then the others that are kept."""
    options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": bridge_name,
        "com.docker.network.driver.mtu": str(mtu),
    }
    drivers = {"bridge": "bridge", "host": "host", "none": "null"}
    records = []
    for name in PREDEFINED:
        fresh = NetworkRecord(name, secrets.token_hex(32), _now(), driver=drivers[name], ipam=Ipam())
        record = known.get(name, fresh)
        if name == "bridge":
            record.options = options
        records.append(record)
    return records + [record for name, record in known.items() if name not in PREDEFINED]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
