"""Networks as values: records, endpoints, published ports, and what firewall and resolver need to know of them.

Glossary: a *network* is a named record with a driver; a *sandbox* is the set of namespaces that one container (or
several, with `container:`) lives in; an *endpoint* is a sandbox's place on a network; a *port request* is what `-p`
asks for, a *published port* what was given. The *facts* of a bridge network are its record parsed once: values that
the firewall takes. A *name table* is what a network's endpoints are called, a *resolver* what one sandbox asks.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

from wharf.errors import Invalid
from wharf.spec.container import EndpointSettings, PortBinding, named
from wharf.spec.quote import go_quote

PREDEFINED = ("bridge", "host", "none")
PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PUBLISHED = 65536
"""Published ports of one container; a longer list can only be a mistake."""

_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")


@dataclass(slots=True)
class IpamConfig:
    """One subnet of a network, in Docker's words and order."""

    subnet: str = ""
    ip_range: str = named("IPRange", "")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


@dataclass(slots=True)
class Ipam:
    """Who gives out addresses, and from which subnets."""

    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IpamConfig] | None = None


@dataclass(slots=True)
class ConfigReference:
    """The config-only network that another takes its configuration from."""

    network: str = ""


@dataclass(slots=True)
class NetworkRecord:
    """A network as it is kept and as inspect shows it (`Containers` is added by the engine). `id` is 64 hex digits."""

    name: str
    id: str
    created: str
    scope: str = "local"
    driver: str = "bridge"
    enable_ipv4: bool = named("EnableIPv4", True)
    enable_ipv6: bool = named("EnableIPv6", False)
    ipam: Ipam = field(default_factory=Ipam, metadata={"json": "IPAM"})
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_from: ConfigReference = field(default_factory=ConfigReference)
    config_only: bool = False
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, order=True, slots=True)
class Port:
    """A transport port; number 1..65535, protocol of PROTOCOLS."""

    number: int
    protocol: str = "tcp"

    @classmethod
    def parse(cls, text: str) -> "Port":
        """Parse `80` or `80/udp`; raises Invalid."""
        first, last, protocol = parse_port_range(text)
        if first != last:
            raise Invalid(f"invalid port {text[:80]!r}: a range where one port is expected")
        return cls(first, protocol)

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class PortRequest:
    """One port to publish. `host_ip` None: every address, IPv4 and IPv6. `first`=0: an ephemeral host port,
    else the first free one of first..last."""

    port: Port
    host_ip: str | None = None
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class PublishedPort:
    """`host_ip`:`host_port` (IPv4 or IPv6 text, `0.0.0.0` and `::` for any) leads to `port` of the container.

    `host_port` 0: no host port, on a network whose gateway mode is `routed`; `port` is let in at the container's own
    address.
    """

    port: Port
    host_ip: str
    host_port: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host_ip


class GatewayMode(Enum):
    """How a bridge network is reached through its gateway, for one address family
    (`com.docker.network.bridge.gateway_mode_ipv4` and `_ipv6`)."""

    NAT = "nat"
    """What leaves is masqueraded; only published ports are let in, on the host's addresses."""
    NAT_UNPROTECTED = "nat-unprotected"
    """As `nat`, but every port of a container is let in at its own address."""
    ROUTED = "routed"
    """No masquerade and no host port: published ports are let in at the container's own address."""
    ISOLATED = "isolated"
    """The bridge has no address of this family: the host itself is outside. For internal networks only."""


@dataclass(frozen=True, slots=True)
class DefaultBridge:
    """What an administrator may ask of the default bridge beside its IPv4 address (dockerd's flags)."""

    masquerade: bool = True
    """`--ip-masq`."""
    range4: IPv4Network | None = None
    """`--fixed-cidr`: containers' addresses come from here; without `--bip` it is the bridge's subnet too."""
    gateway4: IPv4Address | None = None
    """`--default-gateway`: where containers' default route leads, when not to the bridge."""
    ipv6: bool = False
    address6: IPv6Interface | None = None
    """`--bip6`."""
    range6: IPv6Network | None = None
    """`--fixed-cidr-v6`: as `range4`."""
    gateway6: IPv6Address | None = None


@dataclass(frozen=True, slots=True)
class BridgeFacts:
    """One bridge network as firewall and netd see it; fixed as long as the network exists.

    `gateway4` and `gateway6` are the bridge's own addresses, None where it has none (a family that is off,
    `isolated`, `inhibit_ipv4`); `subnet4` and `subnet6` are None where the family is off.
    """

    network_id: str
    name: str
    bridge: str
    """The interface on the host."""
    subnet4: IPv4Network | None = None
    gateway4: IPv4Address | None = None
    subnet6: IPv6Network | None = None
    gateway6: IPv6Address | None = None
    internal: bool = False
    """Nothing leaves and nothing comes in but among the network's endpoints and the host's own address on it."""
    icc: bool = True
    """Endpoints may talk to one another (`enable_icc`); without, only by links and published ports."""
    masquerade: bool = True
    """`enable_ip_masquerade`."""
    mode4: GatewayMode = GatewayMode.NAT
    mode6: GatewayMode = GatewayMode.NAT
    host_binding: str = ""
    """`host_binding_ipv4`: the host address of `-p` without one; "" for every address."""
    trusted_interfaces: tuple[str, ...] = ()
    """`trusted_host_interfaces`: what comes in by these may reach any container address directly."""
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A sandbox's place on a network: addresses reserved, an interface named, ports published or none.

    `address` is None on a network without IPv4, `address6` on one without IPv6. `gateway` and `gateway6` are the next
    hops that the network offers (None: it leads nowhere); which endpoint of a sandbox carries the default routes is
    decided for the sandbox. Only that one has `ports`: an IPv4 host address leads to `address`, an IPv6 one to
    `address6` where there is one, else it is relayed to `address`.
    """

    id: str
    network_id: str
    network_name: str
    sandbox_id: str
    address: IPv4Interface | None
    gateway: IPv4Address | None
    mac: str
    interface: str = "eth0"
    ports: tuple[PublishedPort, ...] = ()
    address6: IPv6Interface | None = None
    gateway6: IPv6Address | None = None
    names: tuple[str, ...] = ()
    """What other endpoints of the network call it, the container's name first; empty on the default bridge."""
    priority: int = 0
    """Among the endpoints of a sandbox the one with the highest carries the default route (`gw-priority`)."""

    @property
    def addresses(self) -> tuple[IPv4Address | IPv6Address, ...]:
        """Its addresses, IPv4 first."""
        return tuple(item.ip for item in (self.address, self.address6) if item is not None)

    def settings(self, asked: EndpointSettings | None = None) -> EndpointSettings:
        """What inspect shows of it: the fields that were asked for stay, the operational ones are filled."""
        shown = asked or EndpointSettings()
        return EndpointSettings(
            ipam_config=shown.ipam_config,
            links=shown.links,
            aliases=shown.aliases,
            mac_address=self.mac,
            driver_opts=shown.driver_opts,
            gw_priority=shown.gw_priority,
            network_id=self.network_id,
            endpoint_id=self.id,
            gateway=str(self.gateway) if self.gateway else "",
            ip_address=str(self.address.ip) if self.address else "",
            ip_prefix_len=self.address.network.prefixlen if self.address else 0,
            ipv6_gateway=str(self.gateway6) if self.gateway6 else "",
            global_ipv6_address=str(self.address6.ip) if self.address6 else "",
            global_ipv6_prefix_len=self.address6.network.prefixlen if self.address6 else 0,
            dns_names=list(self.names) if self.names else shown.dns_names,
        )

    @classmethod
    def from_settings(
        cls,
        network_name: str,
        sandbox_id: str,
        settings: EndpointSettings,
        ports: Mapping[str, list[PortBinding] | None],
        interface: str = "eth0",
    ) -> "Endpoint":
        """The endpoint of a running container as its record tells it (the inverse of `settings` and `port_map`)."""
        v4, v6 = settings.ip_address, settings.global_ipv6_address
        return cls(
            id=settings.endpoint_id,
            network_id=settings.network_id,
            network_name=network_name,
            sandbox_id=sandbox_id,
            address=IPv4Interface(f"{v4}/{settings.ip_prefix_len}") if v4 else None,
            gateway=IPv4Address(settings.gateway) if settings.gateway else None,
            mac=settings.mac_address,
            interface=interface,
            ports=tuple(
                PublishedPort(Port.parse(port), binding.host_ip, int(binding.host_port or 0))
                for port, bindings in ports.items()
                for binding in bindings or ()
            ),
            address6=IPv6Interface(f"{v6}/{settings.global_ipv6_prefix_len}") if v6 else None,
            gateway6=IPv6Address(settings.ipv6_gateway) if settings.ipv6_gateway else None,
            names=tuple(settings.dns_names or ()),
            priority=settings.gw_priority,
        )


@dataclass(frozen=True, slots=True)
class NameTable:
    """What the resolver answers for one network. Keys are lower case, without a final dot.

    `names`: a name or alias -> the addresses of all endpoints called so, IPv4 and IPv6 mixed; `name.<network>` is the
    resolver's to understand. `reverse`: an address -> `<container>.<network>`, for PTR.
    """

    network_id: str
    network_name: str
    names: Mapping[str, tuple[IPv4Address | IPv6Address, ...]]
    reverse: Mapping[IPv4Address | IPv6Address, str]

    @classmethod
    def of(cls, network_id: str, network_name: str, endpoints: Iterable[Endpoint]) -> "NameTable":
        """The table of a network from its endpoints; those of other networks and without names are passed over."""
        names: dict[str, tuple[IPv4Address | IPv6Address, ...]] = {}
        reverse: dict[IPv4Address | IPv6Address, str] = {}
        for endpoint in endpoints:
            if endpoint.network_id != network_id or not endpoint.names:
                continue
            for name in dict.fromkeys(name.lower().rstrip(".") for name in endpoint.names):
                names[name] = names.get(name, ()) + endpoint.addresses
            reverse.update((address, f"{endpoint.names[0]}.{network_name}") for address in endpoint.addresses)
        return cls(network_id, network_name, names, reverse)


@dataclass(frozen=True, slots=True)
class Resolver:
    """What one sandbox's resolver on 127.0.0.11 needs beside the name tables of its networks.

    `networks`: ids, in the order in which their tables are asked (the gateway's first). `servers`: upstreams as
    addresses, in order, asked from the sandbox's own namespace, those written `host(127.0.0.53)` from the host's;
    `forward` False: every network is internal, nothing is asked elsewhere; `ndots` True (`options ndots:N`, N > 0, was
    asked for): names of one label are not asked elsewhere. `links`: alias, lower case -> (network id, the name to look
    up there), valid in this sandbox only.
    """

    sandbox_id: str
    networks: tuple[str, ...]
    servers: tuple[str, ...] = ()
    forward: bool = True
    links: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    ndots: bool = False


@dataclass(frozen=True, slots=True)
class AddressPool:
    """Networks are cut from `base` in pieces of prefix length `size` (`--default-address-pool base=…,size=…`)."""

    base: IPv4Network | IPv6Network
    size: int

    @classmethod
    def parse(cls, text: str) -> "AddressPool":
        """Parse `base=10.10.0.0/16,size=24`; raises Invalid."""
        parts = dict(part.partition("=")[::2] for part in text.split(","))
        if set(parts) != {"base", "size"} or not parts["size"].isdecimal():
            raise Invalid(f"invalid default address pool {text[:200]!r}: expected base=<subnet>,size=<prefix length>")
        try:
            pool = cls(ipaddress.ip_network(parts["base"]), int(parts["size"]))
        except ValueError as error:
            raise Invalid(f"invalid base pool {parts['base'][:80]!r}: {error}") from error
        if not pool.base.prefixlen <= pool.size <= pool.base.max_prefixlen - 2:
            raise Invalid(f"invalid default address pool {text[:200]!r}: size {pool.size} does not fit {pool.base}")
        return pool


def parse_port_range(text: str) -> tuple[int, int, str]:
    """Parse `80`, `80-90`, `80/udp` into (first, last, protocol); raises Invalid."""
    numbers, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    match = _PORT.match(numbers)
    if match is None:
        raise Invalid(f"invalid port {text[:80]!r}: expected <number>[-<number>][/<protocol>]")
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid proto: {protocol[:80]}")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise Invalid(f"invalid port {text[:80]!r}: not within 1-65535")
    return first, last, protocol


def parse_port_bindings(bindings: Mapping[str, list[PortBinding] | None] | None) -> tuple[PortRequest, ...]:
    """`HostConfig.PortBindings` as port requests, in a fixed order; raises Invalid for what is no port or address.

    Docker's clients expand `-p 80-82:80-82` themselves; a range as HostPort means: the first free one.
    """
    requests: list[PortRequest] = []
    for text in sorted(bindings or {}, key=_port_order):
        port = Port.parse(text)
        for binding in (bindings or {})[text] or [PortBinding()]:
            requests.append(_port_request(port, binding))
            if len(requests) > MAX_PUBLISHED:
                raise Invalid(f"too many published ports: more than {MAX_PUBLISHED}")
    return tuple(requests)


def _port_order(text: str) -> tuple[int, str]:
    port = Port.parse(text)
    return port.number, port.protocol


def _port_request(port: Port, binding: PortBinding) -> PortRequest:
    first = last = 0
    if binding.host_port not in ("", "0"):
        try:
            first, last, _ = parse_port_range(binding.host_port)
        except Invalid as error:
            raise Invalid(f"invalid port specification: {go_quote(binding.host_port[:80])}") from error
    if not binding.host_ip:
        return PortRequest(port, None, first, last)
    try:
        host_ip = str(ipaddress.ip_address(binding.host_ip.strip("[]")))
    except ValueError as error:
        raise Invalid(f"invalid IP address: {binding.host_ip[:80]}") from error
    return PortRequest(port, host_ip, first, last)


def port_map(ports: Iterable[PublishedPort], exposed: Iterable[str] = ()) -> dict[str, list[PortBinding] | None]:
    """`NetworkSettings.Ports`: what is published, and null for what is only exposed."""
    shown: dict[str, list[PortBinding] | None] = {str(Port.parse(text)): None for text in exposed}
    for published in ports:
        bindings = shown.get(str(published.port)) or []
        bindings.append(PortBinding(published.host_ip, str(published.host_port or "")))
        shown[str(published.port)] = bindings
    return dict(sorted(shown.items(), key=lambda item: _port_order(item[0])))
