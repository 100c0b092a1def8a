"""The networks of one instance: records, addresses, endpoints and published ports, put together.

A start goes allocate -> publish -> (sandbox made) -> connect; release undoes any of it and may come at any point.
A sandbox that runs is changed by attach and detach. Nothing of the hot path walks tables or runs a command.
"""

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from wharf.errors import Denied, Internal, NotFound, Unavailable, WharfError
from wharf.kernel import faults
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge, strays
from wharf.network import endpoint as endpoints
from wharf.network.contracts import NetworkStore, Relay
from wharf.network.default_bridge import bring_up, plan_default
from wharf.network.endpoint import SandboxTarget
from wharf.network.host_rules import HostRules
from wharf.network.layout import Layout
from wharf.network.names import Names
from wharf.network.networks import Networks, Settings
from wharf.network.plan import EndpointPlan, default_routes, free_interface
from wharf.network.ports import PortTable
from wharf.network.publishing import Published, by_mode
from wharf.network.settings import EndpointRequest, NetworkConfig
from wharf.network.strays import Holders
from wharf.spec.finding import Finding
from wharf.spec.network import (
    BridgeFacts,
    Endpoint,
    NetworkRecord,
    Port,
    PortRequest,
    Resolver,
)

__all__ = ["EndpointRequest", "NetworkConfig", "NetworkManager", "Published", "SandboxTarget"]


class NetworkManager:
    """See the module. Methods block for at most some milliseconds and may be called from several threads."""

    def __init__(
        self, config: NetworkConfig, store: NetworkStore, warn: Callable[[str], None], relay: Relay | None = None
    ) -> None:
        self._config, self._store, self._warn, self._relay = config, store, warn, relay
        self._names = Names(config.instance)
        settings = Settings(config.default_pools, seed=config.seed)
        self._networks = Networks(self._names, settings, store, warn)
        self._lock = self._networks.lock
        self._warnings: list[str] = []
        self._ports = PortTable()
        self._open: dict[str, Published] = {}
        self._held: dict[str, Endpoint] = {}
        self._leaving: dict[str, Endpoint] = {}
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
        stored = {record.name: record for record in self._store.all()}
        self._plan = plan_default(
            self._route, self._names.bridge, self._config, stored.get("bridge"), self._networks.stored_subnets()
        )
        self._removal.callback(bridge.remove, self._route, self._names.bridge)
        for record, live_network in bring_up(self._route, self._plan, self._config, self._store):
            self._networks.adopt(record, live_network)
        self._removal.callback(bridge.remove_marked, self._route, self._names, ())
        self._networks.restore(self._route)
        for endpoint in running:
            self._take_over(endpoint)
        live = list(self._held.values())
        if self._relay:
            self._relay.restore(live)
        prefix = self._names.veth_prefix
        bridge.remove_veths(self._route, prefix, {self._names.veth(endpoint.id) for endpoint in live})
        self._removal.callback(bridge.remove_veths, self._route, prefix, set())
        self._firewall = HostRules(self._names, self._config.ip_forward, self._config.forward_accept, self._warn)
        self._closing.callback(self._firewall.close)
        self._removal.callback(self._firewall.remove)
        self._firewall.load(self.facts(), live)
        self._warnings += self._firewall.warnings

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
        assert self._plan.address is not None
        return self._plan.address.ip

    def networks(self) -> list[NetworkRecord]:
        """All records, the predefined ones first."""
        return self._networks.all()

    def facts(self) -> list[BridgeFacts]:
        """The bridge networks as the firewall sees them, the default one first."""
        return self._networks.facts()

    def layout(self, network_id: str) -> Layout | None:
        """What the record of a network means; None for host, none and those that only hold a configuration."""
        live = self._networks.live(network_id)
        return live.layout if live else None

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """The endpoints that live on a network now, those of starts under way included."""
        with self._lock:
            return [endpoint for endpoint in self._held.values() if endpoint.network_id == network_id]

    def find(self, name: str) -> NetworkRecord:
        """By id, name, or an unambiguous beginning of an id; raises NotFound, Invalid."""
        return self._networks.find(name)

    def driver(self, network_id: str) -> str:
        """The driver of a network, `bridge` for one that is gone."""
        try:
            return self.find(network_id).driver
        except WharfError:
            return "bridge"

    def create(self, wanted: NetworkRecord) -> NetworkRecord:
        """Make a network (see networks.py); raises Conflict, Denied, Invalid, NotFound, Unavailable."""
        return self._networks.create(wanted, self._route, self._firewall)

    def remove(self, record: NetworkRecord, describe: Callable[[Endpoint], str]) -> None:
        """Remove a network; raises Denied while endpoints live on it (`describe` names one), NotFound when it is gone
        already."""
        with self._lock:
            active = [endpoint for endpoint in self._held.values() if endpoint.network_id == record.id]
            if active:
                raise Denied(
                    f"error while removing network: network {record.name} has active endpoints "
                    f"({', '.join(map(describe, active))})"
                )
            self._networks.retire(record)
        self._networks.remove(record, self._route, self._firewall)

    def warnings(self) -> list[str]:
        """What a person should know about this host's network, for `info`."""
        return list(self._warnings)

    # -- endpoints -----------------------------------------------------------------------------------------------

    def allocate(self, network: str, request: EndpointRequest) -> Endpoint:
        """Reserve addresses on a network under a fresh endpoint id; raises NotFound, Invalid, Unavailable."""
        with self._lock:
            record = self.find(network)
            live = self._networks.live(record.id)
            if record.config_only:
                raise Denied("cannot create endpoint on configuration-only network")
            if live is None or not live.index:
                raise Unavailable(f"network {record.name} has no interface on this host: see the daemon's log")
            given = live.take(request.wanted)
            own_mac = live.layout.driver != "ipvlan"  # ipvlan interfaces have their parent's
            endpoint = Endpoint(
                id=secrets.token_hex(32),
                network_id=record.id,
                network_name=record.name,
                sandbox_id=request.sandbox_id,
                address=given.address,
                gateway=given.gateway,
                mac=(request.mac or bridge.random_mac()) if own_mac else "",
                interface=request.interface or free_interface(live.layout.prefix, request.taken),
                address6=given.address6,
                gateway6=given.gateway6,
                names=request.names,
                priority=request.priority,
            )
            self._held[endpoint.id] = endpoint
        return endpoint

    def publish(self, endpoint: Endpoint, container_name: str, requests: Sequence[PortRequest]) -> Published:
        """Bind the host ports; raises Internal in Docker's words. Nothing leads to the container yet."""
        live = self._networks.live(endpoint.network_id)
        requests, unbound = by_mode(requests, endpoint, live.layout.facts if live else None, self._config.publish)
        try:
            bound = self._ports.bind(endpoint.id, endpoint.addresses[0], requests) if requests else []
        except WharfError as error:
            raise Internal(
                "failed to set up container networking: driver failed programming external connectivity on endpoint "
                f"{container_name} ({endpoint.id}): {error.message}"
            ) from error
        if unbound:
            bound.sort(key=lambda binding: binding.port.is_ipv6)
        ports = [binding.port for binding in bound]
        ports = sorted([*ports, *unbound], key=lambda port: port.is_ipv6) if unbound else ports
        endpoint = dataclasses.replace(endpoint, ports=tuple(ports))
        published = Published(endpoint, [binding.socket for binding in bound])
        with self._lock:
            self._held[endpoint.id] = endpoint
            self._open[endpoint.id] = published
        return published

    def connect(self, published: Sequence[Published], target: SandboxTarget, resolver: Resolver | None = None) -> None:
        """Wire a new sandbox with all its endpoints and lead the published ports to it; raises Internal. Our copies of
        the sockets close."""
        beside = [item.endpoint for item in published]
        endpoints.connect(self._route, [self._plan_endpoint(item, beside) for item in published], target)
        for item in published:
            self._lead(item, target)
        faults.done("start:ports")
        self._name(beside, target, resolver)

    def attach(
        self, published: Published, beside: Sequence[Endpoint], target: SandboxTarget, resolver: Resolver | None = None
    ) -> None:
        """Give a sandbox that runs one more endpoint; `beside` are all its endpoints, this one included, and `target`
        has a socket opened inside it. Raises Internal; then its interface is gone again."""
        plan = self._plan_endpoint(published, beside)
        try:
            endpoints.attach(self._route, plan, target)
            self._lead(published, target)
            self._name([published.endpoint], target, resolver)
        except BaseException:
            self.cut(published.endpoint, target)
            raise

    def detach(
        self, endpoint: Endpoint, remaining: Sequence[Endpoint], target: SandboxTarget, resolver: Resolver | None = None
    ) -> None:
        """Take an endpoint's interface out of a sandbox that runs, and let another lead out; the endpoint is released
        by the caller. Raises Internal."""
        self.cut(endpoint, target)
        self.lead_out(remaining, target)
        self._name([], target, resolver)

    def lead_out(self, remaining: Sequence[Endpoint], target: SandboxTarget) -> None:
        """Set the default routes of a sandbox that runs to what its endpoints say; raises Internal."""
        plans = [self._plan_endpoint(Published(item), remaining) for item in remaining]
        endpoints.lead_out(plans, target)

    def cut(self, endpoint: Endpoint, target: SandboxTarget) -> None:
        """Remove an endpoint's interface; fine if it is gone."""
        live = self._networks.live(endpoint.network_id)
        if live is not None and live.layout.sub is not None:
            endpoints.remove_inside(endpoint.interface, target)
        else:
            bridge.remove_veth(self._route, self._names.veth(endpoint.id))

    def drop_interface(self, name: str, target: SandboxTarget) -> None:
        """Remove what is left of an endpoint that no record has; its host end went at the start. Raises Internal."""
        endpoints.remove_inside(name, target)

    def move_ports(self, holder: Endpoint, leading: Endpoint) -> Endpoint:
        """Lead the published ports of one endpoint to another of the same sandbox, which is returned with them."""
        moved = dataclasses.replace(leading, ports=holder.ports)
        with contextlib.suppress(OSError):
            self._firewall.withdraw(holder)
        self._ports.claim(moved.id, moved.ports)
        self._firewall.publish(moved)
        if self._relay:
            self._relay.move(holder, moved)
        with self._lock:
            self._held[holder.id] = dataclasses.replace(holder, ports=())
            self._held[moved.id] = moved
        return moved

    def rename(self, endpoint: Endpoint, names: tuple[str, ...]) -> Endpoint:
        """The endpoint under other names, which the resolver knows from now on."""
        renamed = dataclasses.replace(endpoint, names=names)
        with self._lock:
            if endpoint.id in self._held:
                self._held[endpoint.id] = renamed
        if self._relay:
            self._relay.join(renamed)
        return renamed

    def name_again(self, kept: Sequence[Endpoint], target: SandboxTarget, resolver: Resolver | None) -> None:
        """Tell netd anew what a sandbox's endpoints are called."""
        self._name(kept, target, resolver)

    def link(self, source: str, target: str, ports: Sequence[Port]) -> None:
        """Let a container of the default bridge reach ports of another, by their addresses, where they may not talk
        otherwise; until either gives its address back. Raises Internal."""
        if not self._config.icc:
            self._firewall.link(IPv4Address(source), IPv4Address(target), ports)

    def _plan_endpoint(self, published: Published, beside: Sequence[Endpoint]) -> EndpointPlan:
        endpoint = published.endpoint
        live = self._networks.live(endpoint.network_id)
        if live is None:
            raise NotFound(f"network {endpoint.network_id} not found")
        layout = live.layout
        via4, via6 = default_routes(beside)
        return EndpointPlan(
            self._names.veth(endpoint.id),
            layout.mtu,
            endpoint,
            live.index,
            layout.sub_link(live.index),
            isolated=layout.bridge is not None and layout.bridge.closed and not bridge.shows_frames(),
            default4=endpoint.id == via4,
            default6=endpoint.id == via6,
            device_route=layout.device_route,
            more=published.more,
        )

    def _lead(self, published: Published, target: SandboxTarget) -> None:
        endpoint = published.endpoint
        if endpoint.ports:
            self._firewall.publish(endpoint)
            if self._relay:
                self._relay.publish(endpoint, published.sockets, target.monitor)
        with self._lock:
            self._open.pop(endpoint.id, None)
        published.close()

    def _name(self, new: Sequence[Endpoint], target: SandboxTarget, resolver: Resolver | None) -> None:
        if self._relay is None:
            return
        if resolver is not None:
            self._relay.resolve(resolver, target)
        for endpoint in new:
            self._relay.join(endpoint)

    def release(self, endpoint: Endpoint) -> None:
        """Give back addresses and ports, at whatever step the endpoint is; again is fine, and it never raises."""
        with self._lock:
            published = self._open.pop(endpoint.id, None)
            held = self._held.pop(endpoint.id, None)
            live = self._networks.live(held.network_id) if held else None
            if held:
                self._leaving[held.id] = held
            if held and live:
                live.give_back(held)
        if published:
            published.close()
        if held and held.names and self._relay:
            self._relay.leave(held)
        if held and not self._config.icc:
            with contextlib.suppress(OSError):
                for address in held.addresses:
                    self._firewall.cut(address)
        if held and held.ports:
            if self._relay:
                self._relay.release(held)  # first: once it has forgotten, it cannot take a successor's elements away
            with contextlib.suppress(OSError):
                self._firewall.withdraw(held)
            self._ports.release(held)
        self._leaving.pop(endpoint.id, None)

    def strays(self) -> list[tuple[Finding, Callable[[], object] | None]]:
        """What the host has of this network and no container stands behind, or the other way round; each with what
        mends it. Blocks for some tenths of a second when something is found."""
        found = self._networks.strays(self._route)
        found += strays.stray_veths(self._route, self._names, lambda: list(self._held.values()))
        return found + strays.wrong_elements(self._firewall, self._names, self._holders)

    def _holders(self) -> Holders:
        with self._lock:
            wired = tuple(endpoint for endpoint in self._held.values() if endpoint.id not in self._open)
            wiring = (endpoint for endpoint in self._held.values() if endpoint.id in self._open)
            return Holders(wired, (*wiring, *self._leaving.values()))

    # -- inside --------------------------------------------------------------------------------------------------

    def _take_over(self, endpoint: Endpoint) -> None:
        live = self._networks.live(endpoint.network_id)
        try:
            if live is None:
                raise NotFound(f"network {endpoint.network_name} is gone")
            live.claim(endpoint)
        except WharfError as error:
            self._note(f"endpoint {endpoint.id[:12]} cannot be taken over: {error.message}")
            return
        self._ports.claim(endpoint.id, endpoint.ports)
        self._held[endpoint.id] = endpoint

    def _note(self, warning: str) -> None:
        self._warnings.append(warning)
        self._warn(warning)
