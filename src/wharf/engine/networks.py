"""Networks as Docker's API shows them; the predefined three exist, others are not there yet."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, labels_match, until
from wharf.errors import Conflict, Denied, Invalid, NotImplementedYet
from wharf.spec.container import ContainerRecord, EndpointSettings
from wharf.spec.network import PREDEFINED, NetworkRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

LIST_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")


def list_networks(engine: "Engine", filters: Filters) -> list[dict[str, Any]]:
    """Networks that pass the filters, without their containers, as Docker lists them. Raises Invalid."""
    check_filters(filters, LIST_FILTERS)
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise Invalid(f"invalid filter: 'type'='{kind[:100]}'")
    return [_view(record, {}) for record in engine.network.networks() if _matches(engine, record, filters)]


def _matches(engine: "Engine", record: NetworkRecord, filters: Filters) -> bool:
    def any_of(name: str, test: Callable[[str], bool]) -> bool:
        return not filters.get(name) or any(test(value) for value in filters[name])

    builtin = "builtin" if record.name in PREDEFINED else "custom"
    dangling = record.name not in PREDEFINED and not _attached(engine, record)
    return (
        any_of("driver", lambda value: value == record.driver)
        and any_of("id", record.id.startswith)
        and any_of("name", lambda value: value in record.name)
        and any_of("scope", lambda value: value == record.scope)
        and any_of("type", lambda value: value == builtin)
        and any_of("dangling", lambda value: (value.lower() in ("1", "true")) == dangling)
        and labels_match(filters, record.labels)
    )


def inspect_network(engine: "Engine", name: str) -> dict[str, Any]:
    """One network with the containers that run on it. Raises NotFound."""
    record = engine.network.find(name)
    return _view(record, _attached(engine, record))


def _view(record: NetworkRecord, containers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Name": record.name,
        "Id": record.id,
        "Created": record.created,
        "Scope": record.scope,
        "Driver": record.driver,
        "EnableIPv4": record.enable_ipv4,
        "EnableIPv6": record.enable_ipv6,
        "IPAM": {
            "Driver": record.ipam.driver,
            "Options": record.ipam.options,
            "Config": [
                {"Subnet": item.subnet, "Gateway": item.gateway}
                | ({"IPRange": item.ip_range} if item.ip_range else {})
                | ({"AuxiliaryAddresses": item.auxiliary_addresses} if item.auxiliary_addresses else {})
                for item in record.ipam.config
            ]
            if record.ipam.config is not None
            else None,
        },
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Ingress": record.ingress,
        "ConfigFrom": {"Network": record.config_from.network},
        "ConfigOnly": record.config_only,
        "Containers": dict(containers),
        "Options": record.options,
        "Labels": record.labels,
    }


def _attached(engine: "Engine", network: NetworkRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in engine.containers.all():
        settings = record.networks.get(network.name)
        if record.state.running and settings is not None and not _shares(record):
            found[record.id] = _endpoint(record, settings)
    return found


def _shares(record: ContainerRecord) -> bool:
    return record.host_config.network_mode.startswith("container:")


def _endpoint(record: ContainerRecord, settings: EndpointSettings) -> dict[str, Any]:
    v4, v6 = settings.ip_address, settings.global_ipv6_address
    return {
        "Name": record.name,
        "EndpointID": settings.endpoint_id,
        "MacAddress": settings.mac_address,
        "IPv4Address": f"{v4}/{settings.ip_prefix_len}" if v4 else "",
        "IPv6Address": f"{v6}/{settings.global_ipv6_prefix_len}" if v6 else "",
    }


def create_network(engine: "Engine", name: str) -> None:
    """Raises Invalid, Denied or NotImplementedYet: user-defined networks come later."""
    if not name.strip():
        raise Invalid("invalid network name: name is empty")
    if name in PREDEFINED:
        raise Denied(f"operation is not permitted on predefined {name} network ")
    raise NotImplementedYet(f"cannot create network {name[:200]}: user-defined networks are not there yet")


def remove_network(engine: "Engine", name: str) -> None:
    """Raises NotFound, else Denied: there are only predefined networks."""
    record = engine.network.find(name)
    raise Denied(f"{record.name} is a pre-defined network and cannot be removed")


def connect_network(engine: "Engine", name: str, container: str) -> None:
    """Connecting or disconnecting later on: raises NotFound, Conflict, NotImplementedYet."""
    record = engine.network.find(name)
    engine.containers.find(container)
    if record.name in ("host", "none"):
        raise Conflict(f"container cannot be connected to or disconnected from {record.name} network")
    raise NotImplementedYet("connecting a container to a network later on is not there yet")


def prune_networks(engine: "Engine", filters: Filters) -> dict[str, Any]:
    """Remove unused networks: predefined ones never are. Raises Invalid."""
    check_filters(filters, PRUNE_FILTERS)
    until(filters)
    return {"NetworksDeleted": None}
