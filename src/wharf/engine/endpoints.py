"""A container's endpoints: what was asked of them, checked; given out and wired at a start; given back at its end.

`record.networks` holds one EndpointSettings a network, by the network's name. What belongs to one run (addresses,
endpoint id) is in it while the container runs; what was asked for stays.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import secrets
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wharf.engine.links import parse_link
from wharf.engine.resolvers import resolver_of
from wharf.errors import Internal, Invalid, NotFound, WharfError
from wharf.network.live import Wanted
from wharf.network.manager import EndpointRequest, Published, SandboxTarget
from wharf.network.options import ENDPOINT_IFNAME, endpoint_sysctls
from wharf.network.plan import gateway_order
from wharf.spec.container import ContainerRecord, EndpointIPAMConfig, EndpointSettings, PortBinding
from wharf.spec.network import PREDEFINED, Endpoint, NetworkRecord, Port, parse_port_bindings, port_map

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine
    from wharf.runtime.supervisor import Sandboxed

NETWORK_FAILED = "failed to set up container networking: "
MAX_ENDPOINTS = 256
"""Networks of one container."""
MAX_ALIASES = 1000
SHORT_ID = 12
MULTIPLE = "conflicting options: cannot attach both user-defined and non-user-defined network-modes"
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}\Z")
_LINK_LOCAL_PREFIX = {4: 16, 6: 64}


def is_user_defined(network: str) -> bool:
    """Whether a network has names of its own (all but bridge, host and none)."""
    return network not in PREDEFINED and network != "default"


# -- checks


def check_settings(engine: Engine, name: str, settings: EndpointSettings) -> None:
    """What a client asks of one endpoint; the network may not be there yet. Raises Invalid in Docker's words."""
    network = named_network(engine, name)
    layout = engine.network.layout(network.id) if network else None
    asked = settings.ipam_config or EndpointIPAMConfig()
    errors: list[str] = []
    if not is_user_defined(name):
        if asked.ipv4_address or asked.ipv6_address:
            errors.append("user specified IP address is supported on user defined networks only")
        if settings.aliases:
            errors.append("network-scoped alias is supported only for containers in user defined networks")
    for version, text in ((4, asked.ipv4_address), (6, asked.ipv6_address)):
        if text and not _is_address(text, version):
            errors.append(f"invalid IPv{version} address: {text[:80]}")
    errors += [
        f"invalid link-local IP address: {text[:80]}" for text in asked.link_local_ips or () if not _is_any(text)
    ]
    if network is not None:
        subnets = [(subnet.network, subnet.static) for subnet in layout.subnets] if layout else []
        for version, text in ((4, asked.ipv4_address), (6, asked.ipv6_address)):
            errors += _outside(text, [net for net, static in subnets if static and net.version == version])
    try:
        endpoint_sysctls(settings.driver_opts)
    except Invalid as error:
        errors.append(error.message)
    if settings.mac_address and not _MAC.match(settings.mac_address):
        raise Invalid(f"invalid MAC address {settings.mac_address[:100]}")
    for link in settings.links or ():
        try:
            parse_link(link)
        except Invalid as error:
            errors.append(error.message)
    if max(len(settings.aliases or ()), len(settings.links or ())) > MAX_ALIASES:
        errors.append(f"too many aliases: the limit is {MAX_ALIASES}")
    if errors:
        listed = errors if len(errors) == 1 else [f"* {error}" for error in errors]
        raise Invalid("invalid endpoint settings:\n" + "\n".join(listed))


def _outside(text: str, static: Sequence[object]) -> list[str]:
    if not text:
        return []
    if not static:
        return ["user specified IP address is supported only when connecting to networks with user configured subnets"]
    try:
        address = ipaddress.ip_address(text)
        inside = any(address in net for net in static)  # type: ignore[operator]
    except ValueError:
        inside = False
    return [] if inside else [f"no configured subnet or ip-range contain the IP address {text[:80]}"]


def _is_address(text: str, version: int) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.version == version and not address.is_unspecified and "%" not in text


def _is_any(text: str) -> bool:
    return _is_address(text, 4) or _is_address(text, 6)


def networks_at_create(engine: Engine, record: ContainerRecord, asked: dict[str, EndpointSettings]) -> None:
    """Fill in `record.networks` from `NetworkingConfig` and the legacy `Config.MacAddress`; raises Invalid."""
    mode = record.network_mode
    if not mode or record.joined_network:
        return
    asked = {("bridge" if name == "default" else name): settings for name, settings in asked.items()}
    if len(asked) > MAX_ENDPOINTS:
        raise Invalid(f"too many networks: {len(asked)}, the limit is {MAX_ENDPOINTS}")
    if mode in ("host", "none") and set(asked) - {mode}:
        raise Invalid(MULTIPLE)
    mode = _full_mode(engine, record, mode)
    asked = asked or {mode: EndpointSettings()}
    main = _resolved(engine, mode)
    for name, settings in asked.items():
        key = _resolved(engine, name)
        if key == main:
            settings.mac_address = settings.mac_address or record.config.mac_address
            record.config.mac_address = settings.mac_address
        try:
            check_settings(engine, key, settings)
        except Invalid as error:
            raise Invalid(f"invalid config for network {name}: {error.message}") from None
        record.networks[key] = settings
        if settings.mac_address:
            record.wanted_macs[key] = settings.mac_address


def _full_mode(engine: Engine, record: ContainerRecord, mode: str) -> str:
    """A network named by the beginning of its id is stored by the whole of it, as Docker does."""
    network = named_network(engine, mode)
    if network is not None and mode not in (network.id, network.name):
        record.host_config.network_mode = mode = network.id
    return mode


def named_network(engine: Engine, name: str) -> NetworkRecord | None:
    """The network of this name or id; a beginning of an id counts from the length on that lists show, since a name
    that is not there yet may look like a shorter one."""
    with contextlib.suppress(WharfError):
        found = engine.network.find(name)
        if name == found.name or len(name) >= SHORT_ID:
            return found
    return None


def _resolved(engine: Engine, name: str) -> str:
    """The network's name, or the text as it is where there is no such network yet."""
    found = named_network(engine, name)
    return found.name if found else name


def dns_names(record: ContainerRecord, aliases: Sequence[str] | None) -> list[str]:
    """What others of a user-defined network call the container: its name, aliases, short id, host name."""
    hostname = [record.config.hostname] if record.config.hostname else []
    return list(dict.fromkeys([record.name, *(aliases or ()), record.id[:12], *hostname]))


def name_endpoints(record: ContainerRecord) -> None:
    """Write what the container is called now into the settings of networks that know its names."""
    for network, settings in record.networks.items():
        if is_user_defined(network) and settings.dns_names is not None:
            settings.dns_names = dns_names(record, settings.aliases)


def tell_names(engine: Engine, container: Container) -> None:
    """Let the resolver answer for a running container by what its record calls it now."""
    networks = container.record.networks
    container.endpoints = tuple(
        engine.network.rename(endpoint, tuple(networks[endpoint.network_name].dns_names or ()))
        if endpoint.names
        else endpoint
        for endpoint in container.endpoints
    )


# -- a start


def allocate(engine: Engine, container: Container, undo: contextlib.ExitStack) -> list[Published]:
    """Addresses on each network and ports on the one that leads out; the records' fields alone for host and none,
    nothing for another container's network and where it is disabled."""
    record = container.record
    record.sandbox_id = secrets.token_hex(32)
    record.ports, record.interfaces = {}, {}
    if not record.network_mode or record.joined_network:
        return []
    undo.callback(forget, record)
    found: list[Endpoint] = []
    for network, settings in _in_order(engine, record):
        if network.driver in ("host", "null") and not network.config_only:
            settings.network_id, settings.endpoint_id = network.id, secrets.token_hex(32)
            continue
        try:
            found.append(give(engine, record, network, settings, found))
        except WharfError as error:
            raise type(error)(NETWORK_FAILED + error.message) from None
        undo.callback(engine.network.release, found[-1])
    return _publish(engine, record, found)


def _in_order(engine: Engine, record: ContainerRecord) -> list[tuple[NetworkRecord, EndpointSettings]]:
    """The networks of a container as they are now, the likeliest gateway first: its interfaces are numbered so.
    Raises NotFound."""
    found = []
    for name in sorted(record.networks, key=lambda name: (-record.networks[name].gw_priority, name)):
        settings = record.networks[name]
        network = named_network(engine, settings.network_id or name)
        if network is None:
            raise NotFound(f"{NETWORK_FAILED}network {settings.network_id or name} not found")
        if network.name != name:
            record.networks[network.name] = record.networks.pop(name)
        found.append((network, settings))
        if is_user_defined(network.name):
            settings.dns_names = dns_names(record, settings.aliases)
    return sorted(found, key=lambda item: (-item[1].gw_priority, item[0].internal, item[0].name))


def give(
    engine: Engine,
    record: ContainerRecord,
    network: NetworkRecord,
    settings: EndpointSettings,
    beside: Sequence[Endpoint],
) -> Endpoint:
    """An endpoint on one network, not wired yet; raises Invalid, Denied, Unavailable in Docker's words."""
    asked = settings.ipam_config or EndpointIPAMConfig()
    request = EndpointRequest(
        record.sandbox_id,
        wanted_mac(record, network.name),
        Wanted(
            ipaddress.IPv4Address(asked.ipv4_address) if asked.ipv4_address else None,
            ipaddress.IPv6Address(asked.ipv6_address) if asked.ipv6_address else None,
        ),
        tuple(settings.dns_names or ()) if is_user_defined(network.name) else (),
        settings.gw_priority,
        (settings.driver_opts or {}).get(ENDPOINT_IFNAME, ""),
        tuple(endpoint.interface for endpoint in beside),
    )
    return engine.network.allocate(network.id, request)


def _publish(engine: Engine, record: ContainerRecord, found: Sequence[Endpoint]) -> list[Published]:
    """The endpoints in the order of their interfaces; the first that leads out takes the ports."""
    wanted = parse_port_bindings(_wanted_ports(record))
    leading = next(iter(gateway_order(found)), None)
    published = []
    for endpoint in found:
        requests = wanted if leading is not None and endpoint.id == leading.id else ()
        item = engine.network.publish(endpoint, record.name, requests)
        settings = record.networks[endpoint.network_name]
        item.more = more_addresses(settings)
        published.append(item)
        note(record, item.endpoint)
    record.ports = ports_shown(record, [item.endpoint for item in published])
    return published


def publish_late(engine: Engine, record: ContainerRecord, endpoint: Endpoint, before: Sequence[Endpoint]) -> Published:
    """The endpoint that a running container is about to get, with the container's ports where it is the first to lead
    out; raises Internal in Docker's words."""
    leading = next(iter(gateway_order([*before, endpoint])), None)
    first = leading is endpoint and not any(item.ports for item in before)
    wanted = parse_port_bindings(_wanted_ports(record)) if first else ()
    return engine.network.publish(endpoint, record.name, wanted)


def ports_shown(record: ContainerRecord, endpoints: Sequence[Endpoint]) -> dict[str, list[PortBinding] | None]:
    """`NetworkSettings.Ports`: nothing where no network leads out."""
    if not any(endpoint.gateway or endpoint.gateway6 for endpoint in endpoints):
        return {}
    return port_map((port for item in endpoints for port in item.ports), record.config.exposed_ports or {})


def note(record: ContainerRecord, endpoint: Endpoint) -> None:
    """Write an endpoint into the record."""
    name = endpoint.network_name
    record.networks[name] = endpoint.settings(record.networks.get(name))
    record.interfaces[name] = endpoint.interface


def forget(record: ContainerRecord) -> None:
    """Take what belongs to one run out of the record: addresses and endpoint ids; the networks stay."""
    for name, settings in record.networks.items():
        clear(settings, wanted_mac(record, name))
    record.ports, record.interfaces = {}, {}


def wanted_mac(record: ContainerRecord, network: str) -> str:
    """The MAC address that was asked for on a network, or ""."""
    mode = record.host_config.network_mode
    return record.wanted_macs.get(network, "") or (record.config.mac_address if network == mode else "")


def clear(settings: EndpointSettings, mac: str) -> None:
    """As `forget`, for one network."""
    settings.endpoint_id = settings.gateway = settings.ip_address = ""
    settings.ipv6_gateway = settings.global_ipv6_address = ""
    settings.ip_prefix_len = settings.global_ipv6_prefix_len = 0
    settings.mac_address = mac


def more_addresses(settings: EndpointSettings) -> tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]:
    """The addresses of `--link-local-ip`."""
    texts = (settings.ipam_config.link_local_ips if settings.ipam_config else None) or ()
    found = [ipaddress.ip_address(text) for text in texts]
    return tuple(ipaddress.ip_interface((item.packed, _LINK_LOCAL_PREFIX[item.version])) for item in found)


def _wanted_ports(record: ContainerRecord) -> dict[str, list[PortBinding] | None]:
    wanted = dict(record.host_config.port_bindings or {})
    if record.host_config.publish_all_ports:
        for text in record.config.exposed_ports or {}:
            wanted.setdefault(str(Port.parse(text)), [PortBinding()])
    return wanted


def wire(engine: Engine, record: ContainerRecord, published: Sequence[Published], sandboxed: Sandboxed) -> None:
    """Make the interfaces of a sandbox that waits, lead ports and names to it; raises Internal."""
    if sandboxed.netns_fd is None or sandboxed.rtnl is None:
        raise Internal(NETWORK_FAILED + "the sandbox has no network namespace of its own")
    target = SandboxTarget(sandboxed.netns_fd, sandboxed.rtnl, sandboxed.monitor_pidfd)
    endpoints = [item.endpoint for item in published]
    engine.network.connect(published, target, resolver_of(engine.config.dns, record, endpoints))
    for endpoint in endpoints:
        set_sysctls(engine, record.networks[endpoint.network_name], endpoint.interface, sandboxed.netns_fd)
    sandboxed.close_network()


def set_sysctls(engine: Engine, settings: EndpointSettings, interface: str, netns: int) -> None:
    """`com.docker.network.endpoint.sysctls` of an endpoint, written by a worker inside; raises Internal."""
    values = endpoint_sysctls(settings.driver_opts)
    if not values:
        return
    written = [[path.replace("IFNAME", interface), value] for path, value in values]
    try:
        engine.supervisor.worker("network.sysctl", {"values": written}, [netns])
    except OSError as error:
        raise Internal(f"{NETWORK_FAILED}failed to set a sysctl of {interface}: {error}") from error


def to_hold(published: Sequence[Published]) -> tuple[int, ...]:
    """Descriptors of published ports for the monitor."""
    return tuple(number for item in published for number in item.to_hold())


def host_addresses(record: ContainerRecord) -> list[str]:
    """The container's own addresses for /etc/hosts, in the order of its interfaces."""
    ordered = sorted(record.networks, key=lambda name: record.interfaces.get(name, ""))
    found = []
    for name in ordered:
        settings = record.networks[name]
        found += [text for text in (settings.ip_address, settings.global_ipv6_address) if text]
    return found


def endpoints_of(record: ContainerRecord) -> list[Endpoint]:
    """The endpoints of a running container as its record tells them; the ports are those of the one that leads out."""
    found = [
        Endpoint.from_settings(name, record.sandbox_id, settings, {}, record.interfaces.get(name, "eth0"))
        for name, settings in record.networks.items()
        if settings.ip_address or settings.global_ipv6_address
    ]
    leading = next(iter(gateway_order(found)), None)
    return [
        Endpoint.from_settings(
            end.network_name, record.sandbox_id, record.networks[end.network_name], record.ports, end.interface
        )
        if end is leading
        else end
        for end in found
    ]


def open_inside(engine: Engine, netns: int) -> socket.socket:
    """An rtnetlink socket opened inside a namespace by a worker, for changes while the container runs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        engine.supervisor.worker("network.open", {}, [netns, theirs.fileno()])
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=descriptors[0])
