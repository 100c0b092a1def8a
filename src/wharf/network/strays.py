"""What the host has of this instance's network and no running container stands behind, or the other way round."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from wharf.errors import WharfError
from wharf.kernel import netlink, nft
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge
from wharf.network.firewall import Firewall, elements_of
from wharf.network.names import Names
from wharf.spec.finding import Finding
from wharf.spec.network import Endpoint

Found = tuple[Finding, Callable[[], object] | None]
DYING = 0.5
"""Seconds that a veth may still be there after its namespace has ended."""
_MAPS = ("published", "published-on")


def stray_veths(route: NetlinkSocket, names: Names, held: Callable[[], Sequence[Endpoint]]) -> list[Found]:
    """Host ends of veths that belong to no endpoint; looked at twice, since they die by themselves."""
    before = _veths(route, names, held)
    if not before:
        return []
    time.sleep(DYING)
    return [
        (Finding("link", name, "no container has it"), partial(bridge.remove_veth, route, name))
        for name in sorted(before & _veths(route, names, held))
    ]


def _veths(route: NetlinkSocket, names: Names, held: Callable[[], Sequence[Endpoint]]) -> set[str]:
    present = {link.name for link in netlink.links(route) if link.kind == "veth"}
    known = {names.veth(endpoint.id) for endpoint in held()}
    return {name for name in present if name.startswith(names.veth_prefix)} - known


def wrong_elements(firewall: Firewall, names: Names, held: Sequence[Endpoint]) -> Iterator[Found]:
    """Published ports in the firewall that no endpoint has, and those of endpoints that are missing there."""
    wanted: dict[tuple[str, str], Endpoint] = {}
    for endpoint in held:
        for map_name, elements in elements_of(endpoint).items():
            for element in elements:
                wanted[map_name, _text(element.key)] = endpoint
    try:
        present = {(name, key) for name in _MAPS for key in _keys(names.table, name)}
    except (WharfError, ValueError) as error:
        yield Finding("firewall", names.table, f"it cannot be read: {error}", safe=False), None
        return
    for name, key in sorted(present - wanted.keys()):
        yield (
            Finding("nft element", f"{name} {key}", "no container publishes it"),
            partial(nft.load, f"delete element inet {names.table} {name} {{ {key} }}\n"),
        )
    for name, key in sorted(wanted.keys() - present):
        publish = partial(firewall.publish, wanted[name, key])
        yield Finding("nft element", f"{name} {key}", "a container publishes it and it is not there"), publish


def _text(key: tuple[bytes, ...]) -> str:
    """The key as nft writes it."""
    protocols = {6: "tcp", 17: "udp", 132: "sctp"}
    words = [".".join(str(byte) for byte in field) for field in key[:-2]]
    return " . ".join([*words, protocols[key[-2][0]], str(int.from_bytes(key[-1], "big"))])


def _keys(table: str, name: str) -> Iterator[str]:
    for item in nft.map_elements(table, name):
        key = item[0]
        words = key.get("concat", []) if isinstance(key, dict) else []
        yield " . ".join(str(word) for word in words)
