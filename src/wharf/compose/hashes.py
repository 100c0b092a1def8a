"""Configuration hashes: what decides whether a thing that is there is still the one the file describes (pure).

SHA-256 of the JSON that docker compose's Go types give, so that either tool leaves the other's services alone.
"""

import hashlib
from typing import Any

from wharf.client import jsontext
from wharf.compose.encode import Encoder


def service_hash(service: dict[str, Any]) -> str:
    """Of a service without what does not touch its containers: build, pull policy, scale, dependencies, profiles."""
    kept = {key: value for key, value in service.items() if key not in _NOT_HASHED}
    if kept.get("deploy") is not None:
        kept["deploy"] = {key: value for key, value in kept["deploy"].items() if key != "replicas"}
    return _sha256(kept, "Service")


def network_hash(network: dict[str, Any]) -> str:
    """Of a network."""
    return _sha256(network, "Network")


def volume_hash(volume: dict[str, Any]) -> str:
    """Of a volume, whose driver is `local` unless it says otherwise."""
    return _sha256({**volume, "driver": volume.get("driver") or "local"}, "Volume")


_NOT_HASHED = frozenset(("build", "pull_policy", "scale", "depends_on", "profiles"))


def go_json(value: Any) -> str:
    """encoding/json.Marshal of a plain tree."""
    text = jsontext.dumps(value, escape_html=True)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _sha256(value: dict[str, Any], shape: str) -> str:
    text = go_json(Encoder(json=True).thing(value, shape))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
