"""What a pushed manifest says: its media type, what it names, its subject. Nothing is trusted, nothing is changed."""

from dataclasses import dataclass, field
from typing import Any

from wharf.errors import Invalid
from wharf.registry.server.errors import RegistryError
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

INDEXES = (MEDIA_INDEX, MEDIA_DOCKER_INDEX)
MANIFESTS = (MEDIA_MANIFEST, MEDIA_DOCKER_MANIFEST)
MAX_REFERENCES = 10_000


@dataclass(frozen=True, slots=True)
class Checked:
    """A manifest's content as far as the registry cares."""

    media_type: str
    blobs: tuple[Digest, ...] = ()
    manifests: tuple[Digest, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: dict[str, str] = field(default_factory=dict)


def check(data: bytes, content_type: str) -> Checked:
    """Raises RegistryError (MANIFEST_INVALID)."""
    try:
        raw = load_json(data, "manifest", MAX_MANIFEST_SIZE)
        return _checked(raw, content_type.split(";")[0].strip())
    except Invalid as error:
        raise RegistryError("MANIFEST_INVALID", error.message) from None


def _checked(raw: dict[str, Any], content_type: str) -> Checked:
    if raw.get("schemaVersion") != 2:
        raise Invalid("invalid manifest: schemaVersion must be 2")
    declared = raw.get("mediaType")
    if declared is not None and not isinstance(declared, str):
        raise Invalid("invalid manifest: mediaType is not a string")
    media_type = content_type or declared or (MEDIA_INDEX if "manifests" in raw else MEDIA_MANIFEST)
    if declared and declared != media_type:
        raise Invalid(
            f"invalid manifest: its mediaType {declared[:200]!r} is not the Content-Type {media_type[:200]!r}"
        )
    if media_type not in (*INDEXES, *MANIFESTS):
        raise Invalid(f"invalid manifest: unsupported media type {media_type[:200]!r}")
    subject = raw.get("subject")
    notes = raw.get("annotations") or {}
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise Invalid("invalid manifest: annotations is not an object of strings")
    about = Descriptor.from_json(subject).digest if subject is not None else None
    artifact = raw.get("artifactType") or ""
    if not isinstance(artifact, str):
        raise Invalid("invalid manifest: artifactType is not a string")
    if media_type in INDEXES:
        if "layers" in raw or "config" in raw:
            raise Invalid("invalid manifest: an index has neither config nor layers")
        children = tuple(item.digest for item, _ in _descriptors(raw, "manifests"))
        return Checked(media_type, manifests=children, subject=about, artifact_type=artifact, annotations=notes)
    if "manifests" in raw:
        raise Invalid("invalid manifest: an image manifest has no list of manifests")
    config = Descriptor.from_json(raw.get("config"))
    layers = [item.digest for item, foreign in _descriptors(raw, "layers") if not foreign]
    kind = artifact or config.media_type
    return Checked(media_type, (config.digest, *layers), (), about, kind, notes)


def _descriptors(raw: dict[str, Any], key: str) -> list[tuple[Descriptor, bool]]:
    """Descriptors with whether their content lies elsewhere and need not be here (foreign layers)."""
    items = raw.get(key)
    if not isinstance(items, list) or len(items) > MAX_REFERENCES:
        raise Invalid(f"invalid manifest: {key} must be a list of at most {MAX_REFERENCES} descriptors")
    found = []
    for item in items:
        descriptor = Descriptor.from_json(item)
        foreign = "nondistributable" in descriptor.media_type or ".foreign." in descriptor.media_type
        found.append((descriptor, foreign or bool(item.get("urls"))))
    return found
