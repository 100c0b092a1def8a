"""What a container's own resolver is told: its networks, their aliases, and whom to ask."""

import re
from collections.abc import Mapping, Sequence

from wharf.engine.config import DnsDefaults
from wharf.engine.hosts_files import host_resolv_conf, upstream_servers, wants_dots
from wharf.engine.links import parse_link
from wharf.network.plan import gateway_order
from wharf.spec.container import ContainerRecord, EndpointSettings
from wharf.spec.network import Endpoint, Resolver

_ID = re.compile(r"[0-9a-f]{64}\Z")


def resolver_of(
    dns: DnsDefaults,
    record: ContainerRecord,
    endpoints: Sequence[Endpoint],
    joining: Mapping[str, EndpointSettings] | None = None,
) -> Resolver | None:
    """What the container's resolver asks; None where no network of it has names. `joining`: settings of a network that
    the record does not have yet."""
    named = [endpoint for endpoint in gateway_order(endpoints) if endpoint.names]
    if not named:
        return None
    base, asked = host_resolv_conf(), dns.fill(record.host_config)
    return Resolver(
        record.sandbox_id,
        tuple(endpoint.network_id for endpoint in named),
        upstream_servers(asked, base),
        forward=any(endpoint.gateway or endpoint.gateway6 for endpoint in endpoints),
        links=_aliases({**record.networks, **(joining or {})}, named),
        ndots=wants_dots(asked, base),
    )


def _aliases(networks: Mapping[str, EndpointSettings], named: Sequence[Endpoint]) -> dict[str, tuple[str, str]]:
    """The links of the container's user-defined networks: alias -> (network id, name there)."""
    found: dict[str, tuple[str, str]] = {}
    for endpoint in named:
        for name, alias in map(parse_link, networks[endpoint.network_name].links or ()):
            found.setdefault(alias.lower(), (endpoint.network_id, name[:12] if _ID.match(name) else name))
    return found
