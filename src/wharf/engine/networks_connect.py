"""Connect a container to a network and disconnect it, while it runs or before its next start.

connect, running     address -> noted as changing -> interface made and set up -> recorded -> told
disconnect, running  recorded -> interface removed, routes set -> told

The record is the truth: a daemon that was killed finds the mark of a change under way in it (`changing`), removes the
interface that no record has, and sets the routes again (`mend`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wharf.engine.container_events import publish_endpoint_event
from wharf.engine.endpoints import (
    check_settings,
    dns_names,
    give,
    is_user_defined,
    more_addresses,
    note,
    open_inside,
    ports_shown,
    publish_late,
    set_sysctls,
)
from wharf.engine.hosts_files import own_lines, use_own_resolver
from wharf.engine.resolvers import resolver_of
from wharf.errors import Conflict, Denied, Internal, Invalid, NotFound, WharfError
from wharf.kernel import faults
from wharf.network.manager import SandboxTarget
from wharf.network.plan import gateway_order
from wharf.spec.container import ContainerRecord, EndpointSettings
from wharf.spec.network import Endpoint, NetworkRecord
from wharf.spec.network_requests import NetworkConnect, NetworkDisconnect

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine

SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"
TO_HOST = "cannot connect container to host network - container must be created in host network mode"
PRIVATE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
log = logging.getLogger("wharf.engine")


def connect_network(engine: Engine, name: str, request: NetworkConnect) -> None:
    """Raises NotFound, Invalid, Denied, Conflict, Internal in Docker's words."""
    network = engine.network.find(name)
    container = engine.containers.live(request.container)
    with container.lock:
        record = container.record
        _check_removal(record)
        _check_modes(record, network)
        settings = _asked(request.endpoint_config)
        check_settings(engine, network.name, settings)
        if is_user_defined(network.name):
            settings.dns_names = dns_names(record, settings.aliases)
        if container.running is None:
            settings.network_id = network.id
            record.networks[network.name] = settings
            _want_mac(record, network.name, settings.mac_address)
            engine.database.containers.put(record)
            return
        if not record.network_mode:
            raise NotFound(f"network sandbox for container {record.id} not found")
        if network.config_only:
            raise Denied("cannot create endpoint on configuration-only network")
        if any(endpoint.network_id == network.id for endpoint in container.endpoints):
            raise Denied(f"endpoint with name {record.name} already exists in network {network.name}")
        with contextlib.ExitStack() as undo:
            _connect_running(engine, container, network, settings, undo)
            undo.pop_all()
    publish_endpoint_event(engine, record, "connect", (network.id, network.name))


def _asked(given: EndpointSettings) -> EndpointSettings:
    """What a client may ask for; the rest is the engine's to fill."""
    return EndpointSettings(
        ipam_config=given.ipam_config,
        links=given.links,
        aliases=given.aliases,
        mac_address=given.mac_address,
        driver_opts=given.driver_opts,
        gw_priority=given.gw_priority,
    )


def _check_removal(record: ContainerRecord) -> None:
    if record.state.removal_in_progress or record.state.dead:
        raise Conflict(
            f"container {record.id} is marked for removal and cannot be connected or disconnected to the network"
        )


def _check_modes(record: ContainerRecord, network: NetworkRecord) -> None:
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        raise Invalid(SHARED)
    if network.driver == "host":
        raise Invalid(TO_HOST)
    if network.driver == "null" and not network.config_only:
        raise Invalid(PRIVATE)
    if "host" in record.networks:
        raise Invalid(SHARED)
    if "none" in record.networks:
        raise Invalid(PRIVATE)


def _want_mac(record: ContainerRecord, network: str, mac: str) -> None:
    record.wanted_macs.pop(network, None)
    if mac:
        record.wanted_macs[network] = mac


def _connect_running(
    engine: Engine,
    container: Container,
    network: NetworkRecord,
    settings: EndpointSettings,
    undo: contextlib.ExitStack,
) -> None:
    record = container.record
    old_networks, old_interfaces = dict(record.networks), dict(record.interfaces)
    _want_mac(record, network.name, settings.mac_address)
    undo.callback(_want_mac, record, network.name, "")
    endpoint = give(engine, record, network, settings, container.endpoints)
    undo.callback(engine.network.release, endpoint)
    faults.done("connect:address")
    published = publish_late(engine, record, endpoint, container.endpoints)
    undo.callback(published.close)
    published.more, endpoint = more_addresses(settings), published.endpoint
    beside = [*container.endpoints, endpoint]
    with _target(engine, container) as target:
        _mark(engine, record, endpoint.interface)
        undo.callback(_mark, engine, record, "")
        faults.done("connect:noted")
        undo.callback(_lead_out, engine, container.endpoints, target)
        resolver = resolver_of(engine.config.dns, record, beside, {network.name: settings})
        engine.network.attach(published, beside, target, resolver)
        undo.callback(engine.network.cut, endpoint, target)
        faults.done("connect:wired")
        set_sysctls(engine, settings, endpoint.interface, target.netns)
        record.networks[network.name] = settings
        note(record, endpoint)
        undo.callback(_put_back, record, old_networks, old_interfaces)
        container.endpoints = _move_ports(engine, container.endpoints, beside)
        record.ports = ports_shown(record, container.endpoints)
        record.changing = ""
        engine.database.containers.put(record)
        faults.done("connect:recorded")
        undo.pop_all()
    _change_hosts(engine, record, endpoint, add=True)
    if endpoint.names:
        _use_own_resolver(engine, record)


def _put_back(record: ContainerRecord, networks: dict[str, EndpointSettings], interfaces: dict[str, str]) -> None:
    record.networks, record.interfaces = networks, interfaces


def disconnect_network(engine: Engine, name: str, request: NetworkDisconnect) -> None:
    """Raises NotFound, Conflict, Internal (not connected) in Docker's words."""
    network = engine.network.find(name)
    container = engine.containers.live(request.container)
    with container.lock:
        record = container.record
        _check_removal(record)
        settings = record.networks.get(network.name)
        if settings is None:
            raise Internal(f"container {record.id} is not connected to network {network.name}")
        if network.driver == "host":
            raise Invalid("cannot disconnect container from host network - container was created in host network mode")
        endpoint = next((item for item in container.endpoints if item.network_id == network.id), None)
        if container.running is None or endpoint is None:
            del record.networks[network.name]
            _want_mac(record, network.name, "")
            engine.database.containers.put(record)
        else:
            _disconnect_running(engine, container, endpoint)
    if container.running is not None:
        publish_endpoint_event(engine, record, "disconnect", (network.id, network.name))


def _disconnect_running(engine: Engine, container: Container, endpoint: Endpoint) -> None:
    record = container.record
    remaining = [item for item in container.endpoints if item.id != endpoint.id]
    with _target(engine, container) as target:
        del record.networks[endpoint.network_name]
        record.interfaces.pop(endpoint.network_name, None)
        _want_mac(record, endpoint.network_name, "")
        record.changing = endpoint.interface
        engine.database.containers.put(record)
        faults.done("disconnect:recorded")
        container.endpoints = _move_ports(engine, container.endpoints, remaining)
        engine.network.detach(endpoint, remaining, target, resolver_of(engine.config.dns, record, remaining))
        faults.done("disconnect:cut")
        engine.network.release(endpoint)
        record.ports = ports_shown(record, container.endpoints)
        _mark(engine, record, "")
        faults.done("disconnect:done")
    _change_hosts(engine, record, endpoint, add=False)


def _move_ports(engine: Engine, before: Sequence[Endpoint], after: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """Lead the published ports to the endpoint that leads out now; the endpoints with their ports."""
    holder = next((item for item in before if item.ports), None)
    leading = next(iter(gateway_order(after)), None)
    if holder is None or leading is None or holder.id == leading.id:
        return tuple(after)
    moved = engine.network.move_ports(holder, leading)
    bare = dataclasses.replace(holder, ports=())
    return tuple(moved if item.id == leading.id else bare if item.id == holder.id else item for item in after)


@contextlib.contextmanager
def _target(engine: Engine, container: Container) -> Iterator[SandboxTarget]:
    """The sandbox of a container that runs, with a socket opened inside it."""
    running = container.must_run()
    try:
        netns = running.namespace("network")
    except ProcessLookupError:
        raise Conflict(f"container {container.id} is not running") from None
    try:
        with open_inside(engine, netns) as route:
            yield SandboxTarget(netns, route, running.monitor_pidfd)
    finally:
        os.close(netns)


def _mark(engine: Engine, record: ContainerRecord, interface: str) -> None:
    record.changing = interface
    engine.database.containers.put(record, durable=False)


def _lead_out(engine: Engine, endpoints: Sequence[Endpoint], target: SandboxTarget) -> None:
    with contextlib.suppress(WharfError, OSError):
        engine.network.lead_out(endpoints, target)


def mend(engine: Engine, container: Container) -> None:
    """Finish or undo a change of a sandbox that a killed daemon was at: the record says which endpoints it has."""
    record = container.record
    if not record.changing or container.running is None:
        return
    kept = container.endpoints
    with _target(engine, container) as target:
        if record.changing not in record.interfaces.values():
            engine.network.drop_interface(record.changing, target)
        _lead_out(engine, kept, target)
        engine.network.name_again(kept, target, resolver_of(engine.config.dns, record, kept))
    log.warning("start-up: container %s: a change of its networks was cut and is mended", record.id)
    _mark(engine, record, "")


def _use_own_resolver(engine: Engine, record: ContainerRecord) -> None:
    try:
        use_own_resolver(f"{engine.directory(record.id)}/resolv.conf", engine.config.dns.fill(record.host_config))
    except OSError as error:
        log.warning("container %s: its resolv.conf cannot be changed: %s", record.id, error)


def _change_hosts(engine: Engine, record: ContainerRecord, endpoint: Endpoint, add: bool) -> None:
    """Add the container's own lines for an endpoint to its /etc/hosts, or take them out: in place, it is mounted."""
    path = f"{engine.directory(record.id)}/hosts"
    lines = own_lines(record.config, [str(address) for address in endpoint.addresses])
    try:
        with open(path, "r+", encoding="utf-8", errors="surrogateescape") as file:
            kept = [line for line in file.read().splitlines() if line not in lines]
            file.seek(0)
            file.write("\n".join([*kept, *(lines if add else ())]) + "\n")
            file.truncate()
    except OSError as error:  # the container may have made anything of it
        log.warning("container %s: its hosts file cannot be changed: %s", record.id, error)
