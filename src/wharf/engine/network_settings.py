"""What daemon.json says of the default bridge and of name servers: from text to checked values."""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TypeVar

from wharf.engine.config import DnsDefaults
from wharf.errors import Invalid
from wharf.network.options import MAX_MTU
from wharf.spec.network import DefaultBridge

T = TypeVar("T")
MAX_SERVERS = 64
_MIN_MTU = 68
"""RFC 791: every link carries 68 octets."""


@dataclass(frozen=True, slots=True)
class BridgeWords:
    """dockerd's directives of the default bridge as they are written; "" is not given."""

    ip_masq: bool = True
    fixed_cidr: str = ""
    default_gateway: str = ""
    ipv6: bool = False
    bip6: str = ""
    fixed_cidr_v6: str = ""
    default_gateway_v6: str = ""


def parse_default_bridge(words: BridgeWords) -> DefaultBridge:
    """Raises Invalid naming the directive."""
    bridge = DefaultBridge(
        masquerade=words.ip_masq,
        range4=_read(IPv4Network, "fixed-cidr", words.fixed_cidr),
        gateway4=_read(IPv4Address, "default-gateway", words.default_gateway),
        ipv6=words.ipv6,
        address6=_read(IPv6Interface, "bip6", words.bip6),
        range6=_read(IPv6Network, "fixed-cidr-v6", words.fixed_cidr_v6),
        gateway6=_read(IPv6Address, "default-gateway-v6", words.default_gateway_v6),
    )
    if bridge.address6 and (bridge.address6.network.prefixlen > 126 or "/" not in words.bip6):
        raise Invalid(f"invalid bip6 {words.bip6[:100]!r}: expected an address with its prefix, as in fd00:5::1/64")
    return bridge


def parse_mtu(mtu: int) -> int:
    """The default bridge's MTU, 0 for the usual one; raises Invalid."""
    if mtu and not _MIN_MTU <= mtu <= MAX_MTU:
        raise Invalid(f"invalid mtu {mtu}: not within {_MIN_MTU}-{MAX_MTU}")
    return mtu or 1500


def parse_dns(servers: Sequence[str], search: Sequence[str], options: Sequence[str]) -> DnsDefaults:
    """Raises Invalid naming what is no address, in Docker's words."""
    if max(len(servers), len(search), len(options)) > MAX_SERVERS:
        raise Invalid(f"too many dns settings: at most {MAX_SERVERS} of a kind")
    for server in servers:
        try:
            ipaddress.ip_address(server.partition("%")[0])
        except ValueError:
            raise Invalid(f"{server[:100]} is not an ip address") from None
    for word in (*search, *options):
        if not word or any(letter.isspace() or not letter.isprintable() for letter in word):
            raise Invalid(f"invalid dns setting {word[:100]!r}: one word, without spaces")
    return DnsDefaults(tuple(servers), tuple(search), tuple(options))


def parse_network_opts(given: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Driver -> options. Raises Invalid for what is no such table."""
    for driver, options in given.items():
        if not isinstance(options, Mapping) or not all(isinstance(value, str) for value in options.values()):
            raise Invalid(f"default-network-opts: {driver[:100]} must be an object of strings")
    return {driver: dict(options) for driver, options in given.items()}


def _read(kind: Callable[[str], T], name: str, text: str) -> T | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError as error:
        raise Invalid(f"invalid {name} {text[:100]!r}: {error}") from None
