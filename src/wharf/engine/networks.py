"""Networks as Docker's API shows them: list and inspect."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wharf.engine.filters import Filters, check_filters, labels_match
from wharf.errors import Invalid
from wharf.spec.container import ContainerRecord, EndpointSettings
from wharf.spec.network import PREDEFINED, IpamConfig, NetworkRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

LIST_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")


def list_networks(engine: "Engine", filters: Filters) -> list[dict[str, Any]]:
    """Networks that pass the filters, without their containers, as Docker lists them. Raises Invalid."""
    check_filters(filters, LIST_FILTERS)
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise Invalid(f"invalid filter: 'type'='{kind[:100]}'")
    for word in filters.get("dangling", ()):
        if word not in ("true", "1", "false", "0"):
            raise Invalid('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")')
    used = _used(engine) if filters.get("dangling") else set()
    return [_view(record, {}) for record in engine.network.networks() if _matches(record, filters, used)]


def _matches(record: NetworkRecord, filters: Filters, used: set[str]) -> bool:
    def any_of(name: str, test: Callable[[str], bool]) -> bool:
        return not filters.get(name) or any(test(value) for value in filters[name])

    builtin = "builtin" if record.name in PREDEFINED else "custom"
    dangling = record.name not in PREDEFINED and record.id not in used
    return (
        any_of("driver", lambda value: value == record.driver)
        and any_of("id", record.id.startswith)
        and any_of("name", lambda value: value in record.name)
        and any_of("scope", lambda value: value == record.scope)
        and any_of("type", lambda value: value == builtin)
        and any_of("dangling", lambda value: (value in ("1", "true")) == dangling)
        and labels_match(filters, record.labels)
    )


def _used(engine: "Engine") -> set[str]:
    return {endpoint.network_id for container in engine.containers for endpoint in container.endpoints}


def inspect_network(engine: "Engine", name: str) -> dict[str, Any]:
    """One network with the containers that run on it. Raises NotFound, Invalid."""
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
            "Config": [_subnet(item) for item in record.ipam.config] if record.ipam.config is not None else None,
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


def _subnet(item: IpamConfig) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Subnet": item.subnet,
        "IPRange": item.ip_range,
        "Gateway": item.gateway,
        "AuxiliaryAddresses": item.auxiliary_addresses,
    }
    return {key: value for key, value in shown.items() if value}


def _attached(engine: "Engine", network: NetworkRecord) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in engine.containers.all():
        settings = record.networks.get(network.name)
        if record.state.running and settings is not None and settings.network_id == network.id:
            found[record.id] = _endpoint(record, settings)
    return found


def _endpoint(record: ContainerRecord, settings: EndpointSettings) -> dict[str, Any]:
    v4, v6 = settings.ip_address, settings.global_ipv6_address
    return {
        "Name": record.name,
        "EndpointID": settings.endpoint_id,
        "MacAddress": settings.mac_address,
        "IPv4Address": f"{v4}/{settings.ip_prefix_len}" if v4 else "",
        "IPv6Address": f"{v6}/{settings.global_ipv6_prefix_len}" if v6 else "",
    }
