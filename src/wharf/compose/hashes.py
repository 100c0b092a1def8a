"""Configuration hashes: what decides whether a thing that is there is still the one the file describes (pure).

SHA-256 of the JSON that docker compose's Go types give, so that either tool leaves the other's services alone.
"""

from __future__ import annotations

import sys

from wharf.client import jsontext
from wharf.compose.encode import Encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


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
    return digest(text.encode("utf-8", "replace"))


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal, by the interpreter's own module: `hashlib` loads OpenSSL first, which takes 4 ms."""
    try:
        module = __import__("_sha2" if sys.version_info >= (3, 12) else "_sha256")
    except ImportError:
        import hashlib as module
    return str(module.sha256(data).hexdigest())
