"""Our nftables table as text: one table of the inet family for all bridge networks. Pure.

    martians     prerouting, raw     for 127/8 from outside: dropped (bridges have route_localnet on); from a bridge
                                     with a source address that does not belong there: dropped
    publish-in   prerouting, dstnat  ┐ for this host's own addresses -> publish, publish6
    publish-out  output, dstnat      ┘
    publish      map lookups: first by address, then by port alone; publish6 the same for IPv6
    nat-out      postrouting, srcnat by source: NAT out of the network; published ports reached from the same bridge, or
                                     from 127/8
    input        input, filter       from an internal network to ports that netd relays: nothing
    forward      forward, filter     WHARF-USER, then out of an internal network: nothing; within a network: all;
                                     into one: answers, published ports, and what its mode lets in
    WHARF-USER                       the administrator's: what is in it stays

Each network has a few chains named after its id's beginning, and an element in the maps that lead to them, so networks
come and go without the table being loaded anew. Chains hang where bridged frames also pass when bridge-nf-call-iptables
is 1, so no rule relies on the interface that a packet comes in by after routing: those match the subnet instead.
Bridged frames are the most there are, and a look-up costs more than a comparison: what they meet (`sources`, `out-of`)
is one look-up in each base chain, then comparisons (docs/performance.md).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from wharf.kernel.nftables import Element
from wharf.network.names import Names
from wharf.spec.network import BridgeFacts, Endpoint, GatewayMode, PublishedPort

USER_CHAIN = "WHARF-USER"
_ANY4, _ADDRESSED4, _OPEN4 = "published", "published-on", "open4"
_ANY6, _ADDRESSED6, _OPEN6 = "published6", "published6-on", "open6"
_RELAYED, _RELAYED_ON = "relayed6", "relayed6-on"
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
MAPS = {
    _ANY4: "map inet_proto . inet_service : ipv4_addr . inet_service",
    _ADDRESSED4: "map ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service",
    _ANY6: "map inet_proto . inet_service : ipv6_addr . inet_service",
    _ADDRESSED6: "map ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service",
    _OPEN4: "set ipv4_addr . inet_proto . inet_service",
    _OPEN6: "set ipv6_addr . inet_proto . inet_service",
    _RELAYED: "set inet_proto . inet_service",
    _RELAYED_ON: "set ipv6_addr . inet_proto . inet_service",
    "shut-in": "set ifname",
    "linked": "set ipv4_addr . ipv4_addr . inet_proto . inet_service",
    "bridges": "set ifname",
    "sources": "map ifname : verdict",
    "out-of": "map ifname : verdict",
    "into": "map ifname : verdict",
    "nat4": "map ipv4_addr : verdict",
    "nat6": "map ipv6_addr : verdict",
    "routed4": "set ipv4_addr",
    "routed6": "set ipv6_addr",
}
"""Name -> kind and type. `published*`: host ports; `open*`: container ports of routed networks; `relayed*`: those of
netd, which `shut-in`, the bridges of internal networks, may not have; `linked`: from, to."""
PORT_MAPS = (_ANY4, _ADDRESSED4, _ANY6, _ADDRESSED6, _OPEN4, _OPEN6, _RELAYED, _RELAYED_ON)
_WITH_SUBNETS = ("nat4", "nat6", "routed4", "routed6")

_BASE = {
    USER_CHAIN: [],
    "martians": [
        "type filter hook prerouting priority raw; policy accept;",
        'ip daddr 127.0.0.0/8 iifname != "lo" drop',
        "iifname vmap @sources",
    ],
    "publish": [
        f"dnat ip to ip daddr . meta l4proto . th dport map @{_ADDRESSED4}",
        f"dnat ip to meta l4proto . th dport map @{_ANY4}",
    ],
    "publish6": [
        # These cannot be source or target of what is routed: netd relays them.
        "ip6 daddr { ::1, fe80::/10 } return",
        f"dnat ip6 to ip6 daddr . meta l4proto . th dport map @{_ADDRESSED6}",
        f"dnat ip6 to meta l4proto . th dport map @{_ANY6}",
    ],
    "publish-in": [
        "type nat hook prerouting priority dstnat; policy accept;",
        "meta nfproto ipv4 fib daddr type local jump publish",
        "meta nfproto ipv6 fib daddr type local jump publish6",
    ],
    "publish-out": [
        "type nat hook output priority -100; policy accept;",
        "meta nfproto ipv4 fib daddr type local jump publish",
        "meta nfproto ipv6 fib daddr type local jump publish6",
    ],
    "nat-out": [
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip saddr 127.0.0.0/8 oifname @bridges masquerade",
        "ip saddr vmap @nat4",
        "ip6 saddr vmap @nat6",
    ],
    "input": [
        "type filter hook input priority filter; policy accept;",
        f"meta nfproto ipv6 iifname @shut-in meta l4proto . th dport @{_RELAYED} drop",
        f"iifname @shut-in ip6 daddr . meta l4proto . th dport @{_RELAYED_ON} drop",
    ],
    "forward": [
        "type filter hook forward priority filter; policy accept;",
        "iifname vmap @out-of",  # all that comes from a bridge ends there
        f"oifname @bridges jump {USER_CHAIN}",
        "oifname vmap @into",
    ],
}


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What one network adds: chains of its own, and elements of the maps and sets that lead there."""

    chains: Mapping[str, list[str]]
    elements: Mapping[str, list[str]]


def network_rules(facts: BridgeFacts) -> NetworkRules:
    """The rules of one network."""
    ident, bridge = facts.network_id[:12], f'"{facts.bridge}"'
    chains = {f"from-{ident}": _sources(facts), f"out-of-{ident}": _out_of(facts), f"into-{ident}": _into(facts)}
    elements = {
        "bridges": [bridge],
        "sources": [f"{bridge} : jump from-{ident}"],
        "out-of": [f"{bridge} : goto out-of-{ident}"],
        "into": [f"{bridge} : goto into-{ident}"],
    }
    if facts.internal:
        elements["shut-in"] = [bridge]
    for number, subnet, mode in ((4, facts.subnet4, facts.mode4), (6, facts.subnet6, facts.mode6)):
        if subnet is None:
            continue
        chains[f"nat{number}-{ident}"] = _nat(facts, mode)
        elements[f"nat{number}"] = [f"{subnet} : jump nat{number}-{ident}"]
        if mode is GatewayMode.ROUTED:
            elements[f"routed{number}"] = [str(subnet)]
    return NetworkRules(chains, elements)


def _sources(facts: BridgeFacts) -> list[str]:
    """From the bridge come only addresses of the network's own, and others that the host would send there. Those of
    routed networks may come by any bridge: a container on two networks answers by its default route."""
    rules = []
    if facts.gateway4:
        rules += _own("ip", facts.subnet4, facts.gateway4)
        rules += ["ip saddr 0.0.0.0 return", "ip saddr @routed4 return"]
        rules.append("meta nfproto ipv4 fib saddr . iif oif missing drop")
    if facts.gateway6:
        rules += _own("ip6", facts.subnet6, facts.gateway6)
        rules += ["ip6 saddr { ::, fe80::/10 } return", "ip6 saddr @routed6 return"]
        rules.append("meta nfproto ipv6 fib saddr . iif oif missing drop")
    return rules


def _own(family: str, subnet: IPv4Network | IPv6Network | None, gateway: IPv4Address | IPv6Address) -> list[str]:
    """Spares nearly all packets the way through the routing table. The host's own address is no container's."""
    if subnet is None:
        return []
    last = f" {family} saddr != {subnet.broadcast_address}" if subnet.version == 4 else ""
    return [f"{family} saddr {subnet} {family} saddr != {gateway}{last} return"]


def _out_of(facts: BridgeFacts) -> list[str]:
    bridge = f'"{facts.bridge}"'
    rules = [f"jump {USER_CHAIN}"]
    if facts.internal:
        rules.append(f"oifname != {bridge} drop")
    if facts.icc:
        rules.append(f"oifname {bridge} accept")
    return [*rules, "oifname vmap @into"]


def _into(facts: BridgeFacts) -> list[str]:
    bridge = f'"{facts.bridge}"'
    rules = ["ct state established,related accept"]
    if not facts.icc:
        rules.append("ip saddr . ip daddr . meta l4proto . th dport @linked accept")
        rules.append(
            "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept"
        )
    if facts.internal:
        return [*rules, "drop"]
    rules.append("ct status dnat accept")
    if not facts.icc:
        rules.append(f"iifname {bridge} drop")
    if facts.trusted_interfaces:
        rules.append(f"iifname {{ {', '.join(_quoted(name) for name in facts.trusted_interfaces)} }} accept")
    for number, mode, ip, icmp in ((4, facts.mode4, "ip", "icmp"), (6, facts.mode6, "ip6", "icmpv6")):
        if mode is GatewayMode.NAT_UNPROTECTED:
            rules.append(f"meta nfproto ipv{number} accept")
        elif mode is GatewayMode.ROUTED:
            rules.append(f"meta nfproto ipv{number} meta l4proto {icmp} accept")
            rules.append(f"{ip} daddr . meta l4proto . th dport @open{number} accept")
    return [*rules, "drop"]


def _nat(facts: BridgeFacts, mode: GatewayMode) -> list[str]:
    rules = [f'oifname "{facts.bridge}" ct status dnat masquerade']
    if facts.masquerade and not facts.internal and mode in (GatewayMode.NAT, GatewayMode.NAT_UNPROTECTED):
        rules.append(f'oifname != "{facts.bridge}" masquerade')
    return rules


def _quoted(name: str) -> str:
    return '"' + name.replace('"', "") + '"'


def ruleset(names: Names, networks: Iterable[BridgeFacts], endpoints: Iterable[Endpoint] = ()) -> str:
    """The whole table as text for `nft -f`; whatever the table had is to be taken away before (see `teardown`)."""
    chains: dict[str, list[str]] = dict(_BASE)
    contents: dict[str, list[str]] = {name: [] for name in MAPS}
    for facts in networks:
        rules = network_rules(facts)
        chains |= {name: list(lines) for name, lines in rules.chains.items()}
        for name, elements in rules.elements.items():
            contents[name] += elements
    for endpoint in endpoints:
        for name, key, value in _lines(endpoint):
            contents[name].append(f"{key} : {value}" if value else key)
    text = [f"table inet {names.table} {{"]
    for name, kind in MAPS.items():
        word, _, type_ = kind.partition(" ")
        flags = " flags interval;" if name in _WITH_SUBNETS else ""
        filled = f" elements = {{ {', '.join(contents[name])} }};" if contents[name] else ""
        text.append(f"  {word} {name} {{ type {type_};{flags}{filled} }}")
    heads = {name: [line for line in chain if line.startswith("type ")] for name, chain in chains.items()}
    text += [f"  chain {name} {{ {' '.join(head)}\n  }}" for name, head in heads.items()]  # all, before one jumps
    for name, chain in chains.items():
        text += [f"  chain {name} {{", *(f"    {line}" for line in chain if line not in heads[name]), "  }"]
    return "\n".join([*text, "}", ""])


def add_text(names: Names, facts: BridgeFacts) -> str:
    """Text that adds one network to the loaded table, or puts its rules in order again."""
    rules, where = network_rules(facts), f"inet {names.table}"
    lines = [f"add chain {where} {name}\nflush chain {where} {name}" for name in rules.chains]
    lines += [f"add rule {where} {name} {rule}" for name, chain in rules.chains.items() for rule in chain]
    lines += [f"add element {where} {name} {{ {', '.join(items)} }}" for name, items in rules.elements.items()]
    return "\n".join(lines) + "\n"


def remove_text(names: Names, facts: BridgeFacts) -> str:
    """Text that takes one network away; of what it adds first, so that nothing is missing when it is deleted."""
    rules, where = network_rules(facts), f"inet {names.table}"
    lines = [f"delete element {where} {name} {{ {', '.join(items)} }}" for name, items in rules.elements.items()]
    lines += [f"flush chain {where} {name}\ndelete chain {where} {name}" for name in rules.chains]
    return add_text(names, facts) + "\n".join(lines) + "\n"


def teardown(names: Names, chains: Iterable[str], maps: Iterable[tuple[str, str]]) -> str:
    """Text that empties the table of what is ours: all chains but the administrator's, all elements. `chains` and
    `maps` (kind and name) are those that are there. The empty sets stay, in case a rule of theirs looks there."""
    where = f"inet {names.table}"
    ours = [name for name in chains if name != USER_CHAIN]
    lines = [f"add table {where}"]
    lines += [f"flush chain {where} {name}" for name in ours]
    lines += [f"flush {kind} {where} {name}" for kind, name in maps if name in MAPS]
    lines += [f"delete chain {where} {name}" for name in ours]
    return "\n".join(lines) + "\n"


def linked_element(source: str, target: str, port: int, protocol: str) -> Element:
    """Lets one address of a network without icc reach a port of another."""
    number = bytes([_PROTOCOL_NUMBERS[protocol]])
    return Element((ip_address(source).packed, ip_address(target).packed, number, port.to_bytes(2, "big")))


def elements_of(endpoint: Endpoint) -> dict[str, list[Element]]:
    """The elements that lead the endpoint's ports to it, or let them in, by map."""
    found: dict[str, list[Element]] = {}
    for port in endpoint.ports:
        if (name := _map_of(endpoint, port)) is not None:
            found.setdefault(name, []).append(_element(endpoint, port, name))
    return found


def _map_of(endpoint: Endpoint, port: PublishedPort) -> str | None:
    """Where a published port is kept; None for one that leads nowhere. A host's IPv6 address of a container without
    any is relayed by netd."""
    if (endpoint.address6 if port.is_ipv6 else endpoint.address) is None:
        if not port.is_ipv6 or not port.host_port:
            return None
        return _RELAYED if ip_address(port.host_ip).is_unspecified else _RELAYED_ON
    if not port.host_port:
        return _OPEN6 if port.is_ipv6 else _OPEN4
    if ip_address(port.host_ip).is_unspecified:
        return _ANY6 if port.is_ipv6 else _ANY4
    return _ADDRESSED6 if port.is_ipv6 else _ADDRESSED4


def _element(endpoint: Endpoint, port: PublishedPort, name: str) -> Element:
    held = endpoint.address6 if port.is_ipv6 else endpoint.address
    protocol, inner = bytes([_PROTOCOL_NUMBERS[port.port.protocol]]), port.port.number.to_bytes(2, "big")
    key = (protocol, port.host_port.to_bytes(2, "big"))
    host = () if name in (_ANY4, _ANY6, _RELAYED) else (ip_address(port.host_ip).packed,)
    if held is None:
        return Element((*host, *key))
    if name in (_OPEN4, _OPEN6):
        return Element((held.ip.packed, protocol, inner))
    return Element((*host, *key), (held.ip.packed, inner))


def _lines(endpoint: Endpoint) -> list[tuple[str, str, str]]:
    """The same as text: map, key, value."""
    return [
        (name, element_text(element.key), _value_text(element.value))
        for name, elements in elements_of(endpoint).items()
        for element in elements
    ]


def element_text(key: tuple[bytes, ...]) -> str:
    """The key of a port's element as nft writes it: addresses, protocol, port."""
    protocols = {number: name for name, number in _PROTOCOL_NUMBERS.items()}
    words = [str(ip_address(field)) for field in key[:-2]]
    return " . ".join([*words, protocols[key[-2][0]], str(int.from_bytes(key[-1], "big"))])


def _value_text(value: tuple[bytes, ...]) -> str:
    return f"{ip_address(value[0])} . {int.from_bytes(value[1], 'big')}" if value else ""
