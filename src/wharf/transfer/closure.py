"""All that an index leads to: manifests of every platform, attestations, their configs and layers."""

from dataclasses import dataclass, field
from typing import Any

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import (
    MAX_MANIFEST_SIZE,
    MEDIA_DOCKER_INDEX,
    MEDIA_DOCKER_MANIFEST,
    MEDIA_INDEX,
    MEDIA_MANIFEST,
    Descriptor,
    load_json,
)
from wharf.storage.content import ContentStore

INDEXES = (MEDIA_INDEX, MEDIA_DOCKER_INDEX)
DOCUMENTS = (*INDEXES, MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST)
MAX_DOCUMENTS = 1000
"""Manifests and indexes behind one index."""


@dataclass(slots=True)
class Closure:
    """`documents` with those that they name before them, the one that was asked for last; `blobs` are all others."""

    documents: list[Descriptor] = field(default_factory=list)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    missing: list[Descriptor] = field(default_factory=list)
    """What is not here, documents and blobs."""

    def digests(self) -> set[Digest]:
        """Of all that is here."""
        return {item.digest for item in (*self.documents, *self.blobs.values())} - {x.digest for x in self.missing}


def closure(content: ContentStore, target: Descriptor) -> Closure:
    """What `target` leads to, as far as it is here. Raises Invalid for documents that are none, or too many."""
    found = Closure()
    _walk(content, target, found, set())
    return found


def entries(content: ContentStore, target: Descriptor) -> list[Descriptor]:
    """The manifests behind `target` as the indexes list them, in order, here or not; of a manifest itself."""
    out: list[Descriptor] = []
    waiting, seen = [target], set[Digest]()
    while waiting:
        item = waiting.pop(0)
        if item.media_type not in INDEXES:
            out.append(item)
        elif item.digest not in seen and content.has(item.digest):
            seen.add(item.digest)
            waiting = [*parts(content.read(item.digest, MAX_MANIFEST_SIZE))[0], *waiting]
        if len(out) + len(waiting) > MAX_DOCUMENTS:
            raise Invalid(f"an index with more than {MAX_DOCUMENTS} manifests behind it is refused")
    return out


def _walk(content: ContentStore, document: Descriptor, found: Closure, seen: set[Digest]) -> None:
    """A document names its parts by digest, so there is no way round in a circle."""
    if document.digest in seen:
        return
    seen.add(document.digest)
    if len(seen) > MAX_DOCUMENTS:
        raise Invalid(f"an index with more than {MAX_DOCUMENTS} manifests behind it is refused")
    if not content.has(document.digest):
        found.missing.append(document)
        return
    inner, blobs = parts(content.read(document.digest, MAX_MANIFEST_SIZE))
    for item in inner:
        _walk(content, item, found, seen)
    for blob in blobs:
        if blob.digest not in found.blobs:
            found.blobs[blob.digest] = blob
            if not content.has(blob.digest):
                found.missing.append(blob)
    found.documents.append(document)


def parts(data: bytes) -> tuple[list[Descriptor], list[Descriptor]]:
    """The documents and the blobs that a manifest or index names. Raises Invalid."""
    raw = load_json(data, "manifest", MAX_MANIFEST_SIZE)
    listed = [Descriptor.from_json(item) for name in ("manifests", "layers") for item in _list(raw, name)]
    listed += [Descriptor.from_json(raw["config"])] if raw.get("config") is not None else []
    return (
        [item for item in listed if item.media_type in DOCUMENTS],
        [item for item in listed if item.media_type not in DOCUMENTS],
    )


def _list(raw: dict[str, Any], name: str) -> list[Any]:
    value = raw.get(name) or []
    if not isinstance(value, list):
        raise Invalid(f"invalid manifest: {name} is not a list")
    return value
