"""Which manifest of an index is meant: the platform's, whatever else it holds (attestations, other platforms)."""

from collections.abc import Callable

from wharf.errors import Invalid, NotFound
from wharf.registry.client.repository import INDEX_TYPES, MANIFEST_TYPES
from wharf.registry.client.values import Document
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE, Descriptor, load_json
from wharf.spec.platform import Platform

MAX_ENTRIES = 1000
MAX_DEPTH = 4
"""Of indexes in indexes."""
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7"}


def media_type_of(document: Document) -> str:
    """What a document is: as its answer says, else as it says itself. Raises Invalid for what is no image."""
    named = document.media_type
    if named not in INDEX_TYPES + MANIFEST_TYPES:
        raw = load_json(document.data, "manifest", MAX_MANIFEST_SIZE)
        named = str(raw.get("mediaType") or named)
        if raw.get("schemaVersion") == 1 or named.startswith(SCHEMA_1):
            raise Invalid("Docker Image manifest version 2, schema 1 is not supported: push the image again")
    if named not in INDEX_TYPES + MANIFEST_TYPES:
        raise Invalid(f"unsupported manifest media type {named[:200]!r}")
    return named


def manifest_for(document: Document, platform: Platform, fetch: Callable[[Digest], Document]) -> Document:
    """The image manifest behind a document. Raises NotFound when an index has none for the platform, Invalid."""
    for _ in range(MAX_DEPTH):
        if media_type_of(document) not in INDEX_TYPES:
            return document
        entry = _entry_for(_entries(document), platform)
        document = Document(entry.media_type, fetch(entry.digest).data, entry.digest)
    raise Invalid(f"an index in an index in an index, {MAX_DEPTH} deep, is refused")


def _entries(document: Document) -> list[Descriptor]:
    listed = load_json(document.data, "image index", MAX_MANIFEST_SIZE).get("manifests") or []
    if not isinstance(listed, list) or len(listed) > MAX_ENTRIES:
        raise Invalid(f"invalid image index: manifests is not a list of at most {MAX_ENTRIES}")
    return [Descriptor.from_json(entry) for entry in listed]


def _entry_for(entries: list[Descriptor], platform: Platform) -> Descriptor:
    """An entry of the same variant before one of another; one that names no platform last."""
    known = [entry for entry in entries if entry.media_type in INDEX_TYPES + MANIFEST_TYPES]
    found = [entry for entry in known if _matches(entry.platform, platform)]
    exact = [entry for entry in found if entry.platform and _variant(entry.platform) == _variant(platform)]
    nameless = [entry for entry in known if entry.platform is None]
    if platform.variant and not exact:
        found = []
    chosen = (exact or found or nameless)[:1]
    if not chosen:
        raise NotFound(f"no matching manifest for {platform} in the manifest list entries")
    return chosen[0]


def _matches(offered: Platform | None, wanted: Platform) -> bool:
    return offered is not None and (offered.os, offered.architecture) == (wanted.os, wanted.architecture)


def _variant(platform: Platform) -> str:
    return platform.variant or _DEFAULT_VARIANT.get(platform.architecture, "")
