"""The body of POST /containers/create: a `Config` with `HostConfig` and `NetworkingConfig` beside its fields."""

from typing import Any

from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, CreateRequest, HostConfig, NetworkingConfig
from wharf.wire.codec import from_wire, parse


def read_create(data: bytes, name: str = "", platform: str = "") -> CreateRequest:
    """Parse a create body; raises Invalid. An empty body is what Docker calls one without a config."""
    if not data.strip():
        raise Invalid("config cannot be empty in order to create a container")
    raw = parse(data)
    if raw is None:
        raise Invalid("config cannot be empty in order to create a container")
    if not isinstance(raw, dict):
        return from_wire(CreateRequest, raw)
    sections: dict[str, Any] = {key.lower(): raw[key] for key in raw if key.lower() in _SECTIONS}
    return CreateRequest(
        config=from_wire(ContainerConfig, raw),
        host_config=from_wire(HostConfig, sections.get("hostconfig")),
        networking_config=from_wire(NetworkingConfig, sections.get("networkingconfig")),
        name=name,
        platform=platform,
    )


_SECTIONS = frozenset(("hostconfig", "networkingconfig"))
