"""Ask a registry about an image without pulling it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wharf.errors import Invalid, NotFound, WharfError
from wharf.spec.image import MAX_CONFIG_SIZE, Descriptor, Manifest, load_json
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.registry.client.repository import Repository
    from wharf.registry.client.values import Document

_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


@dataclass(frozen=True, slots=True)
class Distributed:
    """What a name stands for at its registry: the descriptor, platforms as OCI objects, and the document itself."""

    descriptor: Descriptor
    platforms: list[dict[str, Any]]
    document: bytes


def inspect_distribution(engine: Engine, name: str, login: RegistryLogin, *, insecure: bool = False) -> Distributed:
    """Look a name up. Raises Invalid for a bad name; NotFound, Unauthorized, Denied, Internal with Docker's words."""
    from wharf.registry.client.errors import Refused, for_push  # the HTTP client comes with them
    from wharf.registry.client.values import MAX_MANIFEST
    from wharf.transfer.choose import media_type_of

    reference = Reference.parse(name).with_default_tag()
    repository = engine.registries.repository(engine.config.registries, reference, login, insecure=insecure)
    try:
        document = repository.manifest(str(reference.digest or reference.tag))
        descriptor = Descriptor(media_type_of(document), document.digest, len(document.data))
        raw = load_json(document.data, "manifest", MAX_MANIFEST)
        return Distributed(descriptor, _platforms(repository, document, raw), document.data)
    except WharfError as error:
        if isinstance(error, Refused) and error.status == 404:
            raise NotFound(error.message) from None
        raise for_push(error) from None


def _platforms(repository: Repository, document: Document, raw: dict[str, Any]) -> list[dict[str, Any]]:
    entries = raw.get("manifests")
    if isinstance(entries, list):
        found = [entry.get("platform") for entry in entries if isinstance(entry, dict)]
        return [_platform(item) for item in found if isinstance(item, dict)]
    manifest = Manifest.from_bytes(document.data)
    if manifest.config.size > MAX_CONFIG_SIZE:
        raise Invalid(f"invalid image config: {manifest.config.size} bytes exceed the limit of {MAX_CONFIG_SIZE}")
    data = repository.document(manifest.config.digest, MAX_CONFIG_SIZE)
    config = _platform(load_json(data, "image config", MAX_CONFIG_SIZE))
    return [config] if config.get("os") or config.get("architecture") else []


def _platform(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in _PLATFORM if isinstance(raw.get(key), str | list) and raw[key]}
