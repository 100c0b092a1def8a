"""Make and remove networks. The steps on the host are network/networks.py's; here is what a client may ask for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, labels_match, until
from wharf.engine.times import to_nanoseconds
from wharf.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WharfError
from wharf.spec.network import PREDEFINED, ConfigReference, Endpoint, Ipam, NetworkRecord
from wharf.spec.network_requests import NetworkCreate

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

PRUNE_FILTERS = ("label", "label!", "until")
MAX_NAME = 1024
MAX_ENTRIES = 10_000
NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def create_network(engine: Engine, request: NetworkCreate) -> str:
    """Make a network and return its id. Raises Invalid, Denied, Conflict, NotFound, Unavailable in Docker's words."""
    _check_name(request.name)
    _check_scope(request)
    for what, items in (("options", request.options), ("labels", request.labels)):
        if items and len(items) > MAX_ENTRIES:
            raise Invalid(f"too many {what}: {len(items)}, the limit is {MAX_ENTRIES}")
    record = engine.network.create(_record(engine, request))
    engine.events.publish("network", "create", record.id, {"name": record.name, "type": record.driver})
    return record.id


def _check_name(name: str) -> None:
    if not name:
        raise Invalid("invalid name: name is empty")
    if len(name) > MAX_NAME or "\0" in name:
        raise Invalid(f"invalid name: {name[:100]!r}: at most {MAX_NAME} characters, none of them NUL")
    if name in (*PREDEFINED, "default"):
        raise Denied(f"operation is not permitted on predefined {name} network ")


def _check_scope(request: NetworkCreate) -> None:
    if request.driver == "overlay":
        raise Unavailable(NO_SWARM)
    if request.scope == "swarm":
        raise Denied("cannot create a swarm scoped network when swarm is not active")
    if request.ingress:
        raise Denied("Ingress network can only be global scope network")
    if request.scope not in ("", "local"):
        raise Invalid(f"invalid scope: {request.scope[:100]}")


def _record(engine: Engine, request: NetworkCreate) -> NetworkRecord:
    ipam = request.ipam or Ipam()
    source = request.config_from.network if request.config_from else ""
    if request.config_only:
        if request.ingress or request.internal or request.attachable or request.scope:
            raise Denied(
                "configuration network can only contain network specific fields. Network operator fields like "
                "[ ingress | internal | attachable | scope ] are not supported."
            )
        if source:
            raise Denied("configuration network cannot depend on another configuration network")
    record = NetworkRecord(
        request.name,
        "",
        "",
        driver="null" if request.config_only else request.driver or "bridge",
        enable_ipv4=True if request.enable_ipv4 is None else request.enable_ipv4,
        enable_ipv6=bool(request.enable_ipv6),
        ipam=dataclasses.replace(ipam, driver=ipam.driver or "default"),
        internal=request.internal,
        attachable=request.attachable,
        config_from=ConfigReference(source),
        config_only=request.config_only,
        options=dict(request.options or {}),
        labels=dict(request.labels or {}),
    )
    record.ipam.config = list(record.ipam.config or ()) if record.ipam.config is not None else None
    if source:
        return _configured(engine, record, source)
    if not record.config_only:
        record.options = {**engine.config.network_opts.get(record.driver, {}), **record.options}
    return record


def _configured(engine: Engine, record: NetworkRecord, source: str) -> NetworkRecord:
    """The record with the configuration that a config-only network holds."""
    try:
        held = engine.network.find(source)
    except WharfError:
        held = None
    if held is None or not held.config_only:
        raise NotFound(f'configuration network "{source[:200]}" does not exist')
    if record.ipam.config or record.labels or record.options or record.enable_ipv6:
        raise Denied(
            "user specified configurations are not supported if the network depends on a configuration network"
        )
    return dataclasses.replace(
        record,
        ipam=dataclasses.replace(held.ipam),
        enable_ipv4=held.enable_ipv4,
        enable_ipv6=held.enable_ipv6,
        options=dict(held.options),
        labels=dict(held.labels),
    )


def remove_network(engine: Engine, name: str) -> None:
    """Raises NotFound, Denied for a predefined network and while endpoints live on it."""
    record = engine.network.find(name)
    if record.name in PREDEFINED:
        raise Denied(f"{record.name} is a pre-defined network and cannot be removed")
    _remove(engine, record)


def _remove(engine: Engine, record: NetworkRecord) -> None:
    engine.network.remove(record, lambda endpoint: _described(engine, endpoint))
    engine.events.publish("network", "destroy", record.id, {"name": record.name, "type": record.driver})


def _described(engine: Engine, endpoint: Endpoint) -> str:
    name = next((c.record.name for c in engine.containers if c.record.sandbox_id == endpoint.sandbox_id), "")
    return f'name:"{name}" id:"{endpoint.id[:12]}"'


def prune_networks(engine: Engine, filters: Filters) -> dict[str, Any]:
    """Remove the networks that nothing uses. Raises Invalid, Conflict while another prune runs."""
    check_filters(filters, PRUNE_FILTERS)
    limit = until(filters)
    if not engine.pruning.acquire(blocking=False):
        raise Conflict("a prune operation is already running")
    try:
        deleted = [record.name for record in engine.network.networks() if _prune(engine, record, filters, limit)]
        engine.events.publish("network", "prune", "", {"reclaimed": "0"})
    finally:
        engine.pruning.release()
    return {"NetworksDeleted": deleted or None}


def _prune(engine: Engine, record: NetworkRecord, filters: Filters, limit: float | None) -> bool:
    created = (to_nanoseconds(record.created) or 0) / 1e9
    if record.name in PREDEFINED or (limit is not None and created > limit) or record.config_only:
        return False
    if not labels_match(filters, record.labels):
        return False
    try:
        _remove(engine, record)
    except WharfError:  # in use, or gone meanwhile
        return False
    return True
