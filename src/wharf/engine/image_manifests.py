"""What the name of an image leads to: each manifest of its index, here or not, with what it takes and who uses it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.image_platform import target_of
from wharf.spec.image import Descriptor
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import (
    AttestationData,
    ImageData,
    ManifestSize,
    ManifestSummary,
    UnpackedSize,
)
from wharf.transfer.closure import closure, entries

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

_TYPE, _OF = "vnd.docker.reference.type", "vnd.docker.reference.digest"
"""Annotations that BuildKit gives an attestation's entry (docs/attestations/attestation-storage.md there)."""
_ATTESTATION = "attestation-manifest"


def manifests_of(engine: Engine, text: str, image: ImageRecord) -> list[ManifestSummary]:
    """The manifests behind a name or id, in the order of the index; of a plain image the one it has."""
    return [_summary(engine, entry, image) for entry in entries(engine.content, target_of(engine, text, image))]


def _summary(engine: Engine, entry: Descriptor, image: ImageRecord) -> ManifestSummary:
    own = entry.digest == image.manifest.digest
    if own:
        entry = replace(entry, platform=entry.platform or image.image.platform)
    found = closure(engine.content, entry)
    missing = {item.digest for item in found.missing}
    here = [*found.documents, *found.blobs.values()]
    content = sum(item.size for item in here if item.digest not in missing)
    unpacked = image.size if own else 0
    shown = ManifestSummary(
        id=str(entry.digest),
        descriptor=entry.to_json(),
        available=not missing,
        size=ManifestSize(content, content + unpacked),
    )
    if entry.annotations.get(_TYPE) == _ATTESTATION:
        shown.kind = "attestation"
        shown.attestation_data = AttestationData(entry.annotations.get(_OF, ""))
    elif entry.platform is not None:
        shown.kind = "image"
        users = [item.id for item in engine.containers.all() if item.image_id == str(image.id)] if own else []
        platform = entry.to_json()["platform"]
        shown.image_data = ImageData(platform, UnpackedSize(unpacked), users)
    return shown
