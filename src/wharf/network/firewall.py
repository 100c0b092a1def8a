"""Our nftables table: one table of the inet family, loaded whole at start; a published port is one map element.

    martians     prerouting, raw     what comes from outside for 127/8 is dropped (the bridge has route_localnet on)
    publish-in   prerouting, dstnat  ┐ for this host's own addresses -> publish
    publish-out  output, dstnat      ┘
    publish                          map lookups: first by address, then by port alone
    nat-out      postrouting, srcnat NAT out; published ports reached from the same bridge, or from 127/8
    to-bridge    forward, filter     into the bridge: answers and published ports only

Chains hang where bridged frames also pass when bridge-nf-call-iptables is 1, so no rule relies on the interface
that a packet comes in by after routing: those match the subnet instead.
"""

import contextlib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, ip_address
from typing import Any

from wharf.errors import Internal
from wharf.kernel import conntrack, nft
from wharf.kernel.conntrack import UdpFlows
from wharf.kernel.nftables import Element, NftSocket
from wharf.network.names import Names
from wharf.spec.network import BridgeFacts, Endpoint, PublishedPort

_ANY, _ADDRESSED = "published", "published-on"
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


class Firewall:
    """The table of one instance. Methods may be called from several threads."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._socket = NftSocket(names.table)
        self._flows = conntrack.open_socket()

    def load(self, networks: Sequence[BridgeFacts], endpoints: Iterable[Endpoint]) -> None:
        """Replace the whole table, the elements of running endpoints included, in one transaction: established
        connections and published ports go on without a gap. Raises Unavailable."""
        subnets = [facts.subnet4 for facts in networks if facts.is_default and facts.subnet4]
        nft.load(ruleset(self._names, subnets[0], endpoints))

    def publish(self, endpoint: Endpoint) -> None:
        """Lead the endpoint's IPv4 ports to it; raises Internal, then none of them is led."""
        added: list[tuple[str, Element]] = []
        try:
            for map_name, elements in elements_of(endpoint).items():
                self._socket.add(map_name, elements)
                added += [(map_name, element) for element in elements]
        except OSError as error:
            for map_name, element in added:
                self._socket.discard(map_name, [element])
            raise Internal(f"cannot publish ports of endpoint {endpoint.id}: {error.strerror}") from error
        for number in {port.host_port for port, _ in _leads(endpoint) if port.port.protocol == "udp"}:
            self._forget(UdpFlows(to_port=number))  # senders that began before the port led anywhere

    def withdraw(self, endpoint: Endpoint) -> None:
        """Take the endpoint's elements away; those already gone are fine."""
        for map_name, elements in elements_of(endpoint).items():
            self._socket.discard(map_name, elements)  # netd may have been quicker
        udp = {address for port, address in _leads(endpoint) if port.port.protocol == "udp"}
        for address in udp:
            self._forget(UdpFlows(answered_by=address))

    def _forget(self, flows: UdpFlows) -> None:
        with contextlib.suppress(OSError):  # flows end by themselves too, only later
            conntrack.forget(self._flows, flows)

    def remove(self) -> None:
        """Remove the table; fine if it is not there."""
        nft.load(f"add table inet {self._names.table}\ndelete table inet {self._names.table}\n")

    def close(self) -> None:
        self._socket.close()
        self._flows.close()


def ruleset(names: Names, subnet: IPv4Network, endpoints: Iterable[Endpoint] = ()) -> str:
    """The table as text for `nft -f`."""
    contents: dict[str, list[str]] = {_ANY: [], _ADDRESSED: []}
    for endpoint in endpoints:
        for port, address in _leads(endpoint):
            where = "" if _is_any(port) else f"{port.host_ip} . "
            contents[_ANY if _is_any(port) else _ADDRESSED].append(
                f"{where}{port.port.protocol} . {port.host_port} : {address} . {port.port.number}"
            )
    bridge, table = names.bridge, names.table
    return f"""add table inet {table}
delete table inet {table}
table inet {table} {{
  map {_ANY} {{
    type inet_proto . inet_service : ipv4_addr . inet_service
{_elements(contents[_ANY])}  }}
  map {_ADDRESSED} {{
    type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
{_elements(contents[_ADDRESSED])}  }}
  chain martians {{
    type filter hook prerouting priority raw; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
  chain publish-in {{
    type nat hook prerouting priority dstnat; policy accept;
    fib daddr type local jump publish
  }}
  chain publish-out {{
    type nat hook output priority -100; policy accept;
    fib daddr type local jump publish
  }}
  chain publish {{
    dnat ip to ip daddr . meta l4proto . th dport map @{_ADDRESSED}
    dnat ip to meta l4proto . th dport map @{_ANY}
  }}
  chain nat-out {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {subnet} oifname != "{bridge}" masquerade
    ip saddr {subnet} oifname "{bridge}" ct status dnat masquerade
    ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
  }}
  chain to-bridge {{
    type filter hook forward priority filter; policy accept;
    oifname != "{bridge}" accept
    iifname "{bridge}" accept
    ct state established,related accept
    ct status dnat accept
    drop
  }}
}}
"""


def _elements(lines: list[str]) -> str:
    return f"    elements = {{ {', '.join(lines)} }}\n" if lines else ""


def _is_any(port: PublishedPort) -> bool:
    return port.host_ip == "0.0.0.0"


def _leads(endpoint: Endpoint) -> list[tuple[PublishedPort, IPv4Address]]:
    """The ports on IPv4 host addresses and where they lead."""
    if endpoint.address is None:
        return []
    return [(port, endpoint.address.ip) for port in endpoint.ports if not port.is_ipv6]


def elements_of(endpoint: Endpoint) -> dict[str, list[Element]]:
    """The elements that lead the endpoint's IPv4 ports, by map."""
    found: dict[str, list[Element]] = {}
    for port, address in _leads(endpoint):
        found.setdefault(_ANY if _is_any(port) else _ADDRESSED, []).append(_element(port, address))
    return found


def _element(port: PublishedPort, address: IPv4Address) -> Element:
    key = (bytes([_PROTOCOL_NUMBERS[port.port.protocol]]), port.host_port.to_bytes(2, "big"))
    host = () if _is_any(port) else (ip_address(port.host_ip).packed,)
    return Element((*host, *key), (address.packed, port.port.number.to_bytes(2, "big")))


def foreign_drops(listing: list[dict[str, Any]], names: Names) -> list[str]:
    """Warnings about chains of others that drop what containers send or get: an accept of ours cannot overrule a
    drop of theirs, every base chain must accept. `listing` is nft.listing()'s."""
    user_chain = any(item.get("chain", {}).get("name") == "DOCKER-USER" for item in listing)
    chain = "DOCKER-USER" if user_chain else "FORWARD"
    warnings = []
    for item in listing:
        found = item.get("chain", {})
        if found.get("hook") != "forward" or found.get("policy") != "drop" or found.get("family") not in ("ip", "inet"):
            continue
        if found.get("table") == names.table or _lets_through(listing, found, names.bridge):
            continue
        where = f"{found['family']} {found['table']} {found['name']}"
        if (found["family"], found["table"]) == ("ip", "filter"):
            advice = [f"iptables -I {chain} -{side} {names.bridge} -j ACCEPT" for side in "io"]
        else:
            advice = [f"nft insert rule {where} {side}ifname {names.bridge} accept" for side in "io"]
        warnings.append(_drop_warning(where, names, advice))
    return warnings


def legacy_drop(names: Names) -> str:
    """The same warning for the older iptables, whose rules nft does not show."""
    advice = [f"iptables-legacy -I FORWARD -{side} {names.bridge} -j ACCEPT" for side in "io"]
    return _drop_warning("FORWARD of iptables-legacy", names, advice)


def _drop_warning(where: str, names: Names, advice: list[str]) -> str:
    return (
        f"the firewall chain {where} drops forwarded packets by policy, so containers on {names.bridge} may have "
        f"no network and their published ports may not answer; to let them through: {'; '.join(advice)}"
    )


def _lets_through(listing: list[dict[str, Any]], chain: dict[str, Any], bridge: str) -> bool:
    """True if a rule of the chain's table accepts packets of our bridge by name: the advice was followed."""
    table = (chain["family"], chain["table"])
    for item in listing:
        rule = item.get("rule", {})
        if (rule.get("family"), rule.get("table")) == table:
            words = rule.get("expr", [])
            matches = any(word.get("match", {}).get("right") == bridge for word in words)
            if matches and any("accept" in word for word in words):
                return True
    return False
