"""Driver options of networks, parsed once. Keys and refusals are Docker's; keys that nobody knows are kept and ignored,
as Docker does."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wharf.errors import Internal, Invalid
from wharf.spec.network import GatewayMode

BRIDGE = "com.docker.network.bridge."
MTU = "com.docker.network.driver.mtu"
IFACE_PREFIX = "com.docker.network.container_iface_prefix"
ENDPOINT_IFNAME = "com.docker.network.endpoint.ifname"
ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls"
MAX_MTU = 65535
IFNAMSIZ = 15

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}\Z")
_SYSCTL_FAMILIES = ("ipv4", "ipv6", "mpls")


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """Options of a bridge network; `name` "" means: named after the network's id, `mtu` 0: the daemon's."""

    name: str = ""
    icc: bool = True
    masquerade: bool = True
    host_binding: str = ""
    mode4: GatewayMode = GatewayMode.NAT
    mode6: GatewayMode = GatewayMode.NAT
    inhibit_ipv4: bool = False
    trusted_interfaces: tuple[str, ...] = ()
    mtu: int = 0


@dataclass(frozen=True, slots=True)
class SubOptions:
    """Options of a macvlan or ipvlan network; `parent` "" means a dummy interface of its own."""

    parent: str = ""
    mode: str = ""
    flag: str = "bridge"
    mtu: int = 0


def bridge_options(options: Mapping[str, str], internal: bool) -> BridgeOptions:
    """Raises Invalid in Docker's words for a value that is none, Internal for an interface name that is too long."""
    name = options.get(BRIDGE + "name", "")
    if len(name) > IFNAMSIZ:
        raise Internal("numerical result out of range")
    if name and not is_interface_name(name):
        raise Invalid(f"invalid bridge name: {name[:80]!r}")
    parsed = BridgeOptions(
        name=name,
        icc=_flag(options, BRIDGE + "enable_icc", True),
        masquerade=_flag(options, BRIDGE + "enable_ip_masquerade", True),
        host_binding=_host_binding(options),
        mode4=_mode(options, BRIDGE + "gateway_mode_ipv4"),
        mode6=_mode(options, BRIDGE + "gateway_mode_ipv6"),
        inhibit_ipv4=_flag(options, BRIDGE + "inhibit_ipv4", False),
        trusted_interfaces=_names(options.get(BRIDGE + "trusted_host_interfaces", "")),
        mtu=mtu_of(options),
    )
    if GatewayMode.ISOLATED in (parsed.mode4, parsed.mode6) and not internal:
        raise Invalid("gateway mode 'isolated' can only be used for an internal network")
    return parsed


def sub_options(driver: str, options: Mapping[str, str], modes: Mapping[str, int], default: str) -> SubOptions:
    """Options of macvlan and ipvlan; `modes` are the kernel's. Raises Invalid in Docker's words."""
    mode = options.get(f"{driver}_mode", "") or default
    if mode not in modes:
        raise Invalid(
            f"requested {driver} mode '{mode[:80]}' is not valid, '{default}' mode is the {driver} driver default"
        )
    flag = options.get(f"{driver}_flag", "") or "bridge"
    if driver == "ipvlan" and flag not in ("bridge", "private", "vepa"):
        raise Invalid(f"requested ipvlan flag '{flag[:80]}' is not valid, 'bridge' is the ipvlan driver default")
    return SubOptions(options.get("parent", ""), mode, flag, mtu_of(options))


def mtu_of(options: Mapping[str, str]) -> int:
    """0 when none is asked for; raises Invalid."""
    text = options.get(MTU, "")
    if not text:
        return 0
    if not _NUMBER.match(text):
        raise _unparsed(MTU, text, f'strconv.Atoi: parsing "{text[:80]}": invalid syntax')
    mtu = int(text)
    if mtu < 0:
        raise Invalid(f"invalid MTU number: {mtu}")
    if mtu > MAX_MTU or 0 < mtu < 68:  # RFC 791: every link carries 68 octets
        raise Invalid(f"invalid MTU number: {mtu}: not within 68-{MAX_MTU}")
    return mtu


def endpoint_sysctls(driver_opts: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """`com.docker.network.endpoint.sysctls` as (`ipv4/conf/IFNAME/name`, value) pairs; IFNAME stands for the interface.
    Raises Invalid in Docker's words."""
    found = []
    for entry in filter(None, ((driver_opts or {}).get(ENDPOINT_SYSCTLS) or "").split(",")):
        key, equals, value = entry.partition("=")
        words = key.split(".", 4)
        right = len(words) == 5 and words[0] == "net" and words[1] in _SYSCTL_FAMILIES and words[3].upper() == "IFNAME"
        if not right or not equals or any(not word or "/" in word or word == ".." for word in words):
            raise Invalid(
                f"unrecognised network interface sysctl '{entry[:200]}'; represent 'net.X.Y.ethN.Z=V' as "
                "'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'"
            )
        found.append((f"{words[1]}/{words[2]}/IFNAME/{words[4]}", value))
    return found


def is_interface_name(name: str) -> bool:
    """What the kernel takes as one (dev_valid_name)."""
    return 0 < len(name) <= IFNAMSIZ and name not in (".", "..") and not any(c in "/:" or c.isspace() for c in name)


def _flag(options: Mapping[str, str], key: str, default: bool) -> bool:
    text = options.get(key)
    if text is None:
        return default
    if text not in _TRUE | _FALSE:
        raise _unparsed(key, text, f'strconv.ParseBool: parsing "{text[:80]}": invalid syntax')
    return text in _TRUE


def _mode(options: Mapping[str, str], key: str) -> GatewayMode:
    text = options.get(key, "")
    try:
        return GatewayMode(text) if text else GatewayMode.NAT
    except ValueError:
        raise _unparsed(key, text, f"unknown gateway mode {text[:80]}") from None


def _host_binding(options: Mapping[str, str]) -> str:
    key = BRIDGE + "host_binding_ipv4"
    text = options.get(key, "")
    if not text:
        return ""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise _unparsed(key, text, "nil ip") from None


def _names(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(":")))
    for name in names:
        if not is_interface_name(name):
            raise Invalid(f"invalid interface name in {BRIDGE}trusted_host_interfaces: {name[:80]!r}")
    return names


def _unparsed(key: str, text: str, why: str) -> Invalid:
    return Invalid(f"failed to parse {key} value: {text[:80]} ({why})")
