"""What the manager needs of others, and hands to them as values: the store of records, the packet filter, netd.

Order of calls. Start-up: `PacketFilter.load` with all bridge networks and all endpoints of running containers, and
`Relay.restore` with the latter. A network made or removed later: `add_network`, `remove_network`. A start:
`Relay.resolve` for a sandbox on a user-defined network (its namespace exists, nothing runs in it yet), then for each
endpoint `PacketFilter.publish` and `Relay.publish` (both only with ports) and `Relay.join`. A live connect: `join`
and `resolve` again with the new list of networks. The end of an endpoint: `Relay.leave`, `Relay.release`,
`PacketFilter.withdraw`. Everything may be called from several threads; again and for what is gone is fine.
"""

import socket
from collections.abc import Sequence
from typing import Protocol

from wharf.network.endpoint import SandboxTarget
from wharf.spec.network import BridgeFacts, Endpoint, NetworkRecord, Resolver


class NetworkStore(Protocol):
    """Where records are kept; acknowledged means synced."""

    def put(self, record: NetworkRecord) -> None: ...
    def all(self) -> list[NetworkRecord]: ...
    def delete(self, key: str) -> bool: ...


class Rules(Protocol):
    """What changes with the networks. Raises Unavailable."""

    def add_network(self, facts: BridgeFacts) -> None: ...
    def remove_network(self, facts: BridgeFacts) -> None: ...


class PacketFilter(Rules, Protocol):
    """The rules on the host (network/firewall.py). Raises Unavailable or Internal in Docker's words."""

    def load(self, networks: Sequence[BridgeFacts], endpoints: Sequence[Endpoint]) -> None: ...
    def publish(self, endpoint: Endpoint) -> None: ...
    def withdraw(self, endpoint: Endpoint) -> None: ...


class Relay(Protocol):
    """The resident process: it holds published sockets, relays IPv6, answers names (tables by network, one resolver a
    sandbox), and cleans up when a monitor ends."""

    def publish(self, endpoint: Endpoint, sockets: Sequence[socket.socket], monitor: int) -> None: ...
    def release(self, endpoint: Endpoint) -> None: ...
    def restore(self, running: Sequence[Endpoint]) -> None: ...
    def resolve(self, resolver: Resolver, target: SandboxTarget) -> None: ...
    def join(self, endpoint: Endpoint) -> None: ...
    def leave(self, endpoint: Endpoint) -> None: ...
    def close(self, stop: bool) -> None: ...
