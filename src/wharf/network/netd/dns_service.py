"""Requests about names: which resolvers there are, who is called what. See messages.py for their form."""

import os
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from wharf.network.netd.dns_names import Tables, View, named
from wharf.network.netd.dns_server import SandboxResolver, Shared
from wharf.network.netd.loop import READ, Loop


class _Held:
    """A resolver and the monitor whose end is its sandbox's."""

    def __init__(self, resolver: SandboxResolver, monitor: int) -> None:
        self.resolver, self.monitor = resolver, monitor


class NameService:
    """All resolvers and tables of this netd. `emptied` is called when the last resolver has gone."""

    def __init__(self, loop: Loop, emptied: Callable[[], None]) -> None:
        self._shared, self._emptied = Shared(loop), emptied
        self._held: dict[str, _Held] = {}
        self._coming: Tables | None = None

    def sandboxes(self) -> list[str]:
        return list(self._held)

    def resolve(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """A resolver for a sandbox, or new settings for the one it has. Takes the descriptors that it keeps out of the
        list; raises OSError, KeyError, TypeError, ValueError."""
        view, sandbox = _view(message), str(message["sandbox"])
        if known := self._held.get(sandbox):
            known.resolver.view = view
            return
        resolver = SandboxResolver(self._shared, descriptors[0], view)
        del descriptors[0]
        monitor = descriptors.pop(0) if message.get("monitor") else -1
        self._held[sandbox] = _Held(resolver, monitor)
        if monitor >= 0:
            self._shared.loop.watch(monitor, READ, lambda _: self._monitor_ended(sandbox))

    def join(self, message: dict[str, Any]) -> None:
        _put(self._shared.tables, message)

    def leave(self, message: dict[str, Any]) -> None:
        self._shared.tables.drop(str(message["id"]))

    def replace(self, message: dict[str, Any]) -> None:
        """A part of the tables that shall take the place of those that are; with the last part they do, at once, and
        resolvers of sandboxes without an endpoint go."""
        if message.get("first") or self._coming is None:
            self._coming = Tables()
        for endpoint in message["endpoints"]:
            _put(self._coming, endpoint)
        if message.get("last"):
            self._shared.tables, self._coming = self._coming, None
            for sandbox in self._held.keys() - self._shared.tables.sandboxes():
                self.drop(sandbox)

    def drop(self, sandbox: str) -> None:
        """Close a sandbox's resolver; one that is not there is fine."""
        held = self._held.pop(sandbox, None)
        if held is None:
            return
        held.resolver.close()
        if held.monitor >= 0:
            self._shared.loop.unwatch(held.monitor)
            os.close(held.monitor)
        if not self._held:
            self._emptied()

    def _monitor_ended(self, sandbox: str) -> None:
        self._shared.tables.drop_sandbox(sandbox)
        self.drop(sandbox)


def _put(tables: Tables, endpoint: dict[str, Any]) -> None:
    ident, network = endpoint["network"]
    addresses = [ip_address(text).packed for text in endpoint["addresses"]]
    known = named(str(ident), str(network), str(endpoint["sandbox"]), map(str, endpoint["names"]), addresses)
    tables.put(str(endpoint["id"]), known, str(network))


def _view(message: dict[str, Any]) -> View:
    """Servers are addresses; `host(127.0.0.53)` is one to be asked from the host."""
    servers = []
    for text in message["servers"]:
        address = text[5:-1] if (from_host := text.startswith("host(")) else text
        ip_address(address.partition("%")[0])
        servers.append((address, from_host))
    links = {str(alias).lower(): (str(network), str(name)) for alias, (network, name) in message["links"].items()}
    return View(
        networks=tuple(map(str, message["networks"])),
        links=links,
        servers=tuple(servers),
        forward=bool(message["forward"]),
        ndots=bool(message["ndots"]),
    )
