"""The body of POST /containers/create: a `Config` with `HostConfig` and `NetworkingConfig` beside its fields."""

import dataclasses
from typing import Any

from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, CreateRequest, HostConfig, NetworkingConfig
from wharf.wire.codec import from_wire, json_name, mismatch, parse


def read_create(data: bytes, name: str = "", platform: str = "") -> CreateRequest:
    """Parse a create body; raises Invalid with moby's words for an empty body and for one without a config."""
    if not data.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    raw = parse(data)
    if raw is not None and not isinstance(raw, dict):
        raise mismatch(raw, "", "container.CreateRequest")
    sections: dict[str, Any] = {key.lower(): value for key, value in (raw or {}).items()}
    if not sections.keys() & _CONFIG_KEYS:
        raise Invalid("config cannot be empty in order to create a container")
    return CreateRequest(
        config=from_wire(ContainerConfig, raw),
        host_config=from_wire(HostConfig, sections.get("hostconfig")),
        networking_config=from_wire(NetworkingConfig, sections.get("networkingconfig")),
        name=name,
        platform=platform,
    )


def read_update(data: bytes) -> HostConfig:
    """Parse the body of POST /containers/{id}/update: resources and a restart policy; raises Invalid."""
    if not data.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    raw = parse(data)
    if raw is not None and not isinstance(raw, dict):
        raise mismatch(raw, "", "container.UpdateConfig")
    return from_wire(HostConfig, raw)


_CONFIG_KEYS = frozenset(json_name(field).lower() for field in dataclasses.fields(ContainerConfig))
