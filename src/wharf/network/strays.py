"""What the host has of this instance's network and no running container stands behind, or the other way round."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from wharf.errors import WharfError
from wharf.kernel import netlink, nft
from wharf.kernel.netlink import NetlinkSocket
from wharf.network import bridge
from wharf.network.contracts import PacketFilter
from wharf.network.names import Names
from wharf.network.rules import PORT_MAPS, element_text, elements_of
from wharf.spec.finding import Finding
from wharf.spec.network import Endpoint

Found = tuple[Finding, Callable[[], object] | None]
DYING = 0.5
"""Seconds that a veth may still be there after its namespace has ended."""


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


@dataclass(frozen=True, slots=True)
class Holders:
    """Endpoints at one moment: those that are wired, and those on their way in or out, whose elements may be there or
    not."""

    wired: tuple[Endpoint, ...]
    moving: tuple[Endpoint, ...]


def wrong_elements(firewall: PacketFilter, names: Names, look: Callable[[], Holders]) -> list[Found]:
    """Published ports in the firewall that no endpoint has, and those of endpoints that are missing there; looked at
    twice when something is found, since what is being made or taken away settles by itself."""
    suspects = _wrong_now(firewall, names, look)
    if not suspects:
        return []
    time.sleep(DYING)
    again = {finding.object for finding, _ in _wrong_now(firewall, names, look)}
    return [item for item in suspects if item[0].object in again]


def _wrong_now(firewall: PacketFilter, names: Names, look: Callable[[], Holders]) -> list[Found]:
    before = look()
    try:
        present = set(_present(names.table))
    except (WharfError, ValueError) as error:
        return [(Finding("firewall", names.table, f"it cannot be read: {error}", safe=False), None)]
    after = look()
    known = _elements((*before.wired, *before.moving, *after.wired, *after.moving))
    settled = {endpoint.id for endpoint in before.wired} & {endpoint.id for endpoint in after.wired}
    wanted = _elements(tuple(endpoint for endpoint in after.wired if endpoint.id in settled))
    found: list[Found] = [
        (
            Finding("nft element", f"{name} {key}", "no container publishes it"),
            partial(nft.load, f"delete element inet {names.table} {name} {{ {key} }}\n"),
        )
        for name, key in sorted(present - known.keys())
    ]
    for name, key in sorted(wanted.keys() - present):
        publish = partial(firewall.publish, wanted[name, key])
        found.append((Finding("nft element", f"{name} {key}", "a container publishes it and it is not there"), publish))
    return found


def _elements(endpoints: Sequence[Endpoint]) -> dict[tuple[str, str], Endpoint]:
    """Map and key of each element that the endpoints' ports have."""
    return {
        (map_name, element_text(element.key)): endpoint
        for endpoint in endpoints
        for map_name, elements in elements_of(endpoint).items()
        for element in elements
    }


def _present(table: str) -> Iterator[tuple[str, str]]:
    """Map and key, as nft writes it, of each element that a port has."""
    for item in nft.table(table):
        found = item.get("map") or item.get("set") or {}
        if found.get("name") not in PORT_MAPS:
            continue
        for element in found.get("elem", []):
            key = element if "set" in item else element[0]
            words = key.get("concat", []) if isinstance(key, dict) else []
            yield found["name"], " . ".join(str(word) for word in words)
