"""What an image archive says it holds: docker-archive (manifest.json) and OCI image layout (index.json), as one value.

Docker's own archives carry both; then manifest.json lists the images, and index.json gives each the manifest it was
saved with, so that an image keeps its manifest's digest from machine to machine.
"""

import json
from dataclasses import dataclass
from typing import Any

from wharf.errors import Invalid
from wharf.spec.digest import Digest
from wharf.spec.image import (
    MAX_MANIFEST_SIZE,
    MEDIA_CONFIG,
    MEDIA_DOCKER_INDEX,
    MEDIA_INDEX,
    MEDIA_LAYER,
    MEDIA_LAYER_GZIP,
    MEDIA_LAYER_ZSTD,
    Descriptor,
    Manifest,
    load_json,
)
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.storage.compression import decompressed
from wharf.storage.content import ContentStore
from wharf.transfer.archive_files import ArchiveFiles
from wharf.transfer.store import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, parse_name

MAX_IMAGES = 1000
MAX_LAYERS = 500
_LAYER_TYPES = {"plain": MEDIA_LAYER, "gzip": MEDIA_LAYER_GZIP, "zstd": MEDIA_LAYER_ZSTD}


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of an archive. `received` is the manifest's own descriptor where the archive had a manifest;
    `target` is what the names point to when that is an index."""

    manifest: Manifest
    names: tuple[Reference, ...]
    received: Descriptor | None = None
    target: Descriptor | None = None


def read_layout(files: ArchiveFiles, content: ContentStore, platform: Platform) -> list[ArchivedImage]:
    """The images of an archive; raises Invalid with what is wrong."""
    listing, index = files.document("manifest.json"), files.document("index.json")
    if listing is None and index is None:
        raise Invalid(
            "invalid image archive: open manifest.json: no such file or directory "
            "(neither a docker-archive nor an OCI image layout)"
        )
    known = _indexed(index, content, platform) if index is not None else []
    if listing is None:
        return known
    return [_listed(item, files, content, known) for item in _json_list(listing, "manifest.json")]


def _listed(item: Any, files: ArchiveFiles, content: ContentStore, known: list[ArchivedImage]) -> ArchivedImage:
    if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
        raise Invalid("invalid manifest.json: an entry has no Config")
    layers, tags = item.get("Layers") or [], item.get("RepoTags") or []
    if not _are_strings(layers) or not _are_strings(tags) or len(layers) > MAX_LAYERS:
        raise Invalid("invalid manifest.json: Layers and RepoTags must be lists of strings")
    digest, size = files.blob(item["Config"])
    names = tuple(parse_name(tag) for tag in tags)
    blobs = tuple(layer_descriptor(content, *files.blob(layer)) for layer in layers)
    for other in known:
        # manifest.json has one platform of an index only, index.json the one that is asked for.
        if other.target is not None and set(names) & set(other.names):
            return ArchivedImage(other.manifest, names, other.received, other.target)
        if other.manifest.config.digest == digest and [blob.digest for blob in other.manifest.layers] == [
            blob.digest for blob in blobs
        ]:
            return ArchivedImage(other.manifest, names, other.received, other.target)
    return ArchivedImage(Manifest(Descriptor(MEDIA_CONFIG, digest, size), blobs), names)


def layer_descriptor(content: ContentStore, digest: Digest, size: int) -> Descriptor:
    """A layer blob with the media type that its first bytes call for; raises Invalid for an unknown compression."""
    with content.open(digest) as blob:
        kind = decompressed(blob).kind
    if kind not in _LAYER_TYPES:
        raise Invalid(f"invalid layer {digest}: {kind} is no compression of image layers")
    return Descriptor(_LAYER_TYPES[kind], digest, size)


def _indexed(data: bytes, content: ContentStore, platform: Platform) -> list[ArchivedImage]:
    images = []
    for descriptor in _manifests(data, "index.json"):
        manifest = select_manifest(content, descriptor, platform)
        if manifest is None:
            continue
        name = _annotated_name(descriptor)
        target = Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)
        images.append(
            ArchivedImage(
                Manifest.from_bytes(_blob(content, manifest)),
                (name,) if name else (),
                manifest,
                target if target.digest != manifest.digest else None,
            )
        )
    return _merged(images)


def _merged(images: list[ArchivedImage]) -> list[ArchivedImage]:
    """One entry an image: an index lists an image once for each of its names."""
    merged: dict[Digest, ArchivedImage] = {}
    for image in images:
        key = image.manifest.config.digest
        before = merged.get(key)
        names = (*before.names, *image.names) if before else image.names
        merged[key] = ArchivedImage(image.manifest, names, image.received, image.target)
    return list(merged.values())


def select_manifest(content: ContentStore, descriptor: Descriptor, platform: Platform) -> Descriptor | None:
    """The manifest behind a descriptor: itself, or an index's entry for the platform; None when it has none.

    Raises Invalid when the document is damaged or missing.
    """
    if descriptor.media_type not in (MEDIA_INDEX, MEDIA_DOCKER_INDEX):
        return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)
    for entry in _manifests(_blob(content, descriptor), "image index"):
        where = entry.platform
        if where is None or (where.os, where.architecture) == (platform.os, platform.architecture):
            return select_manifest(content, entry, platform) if content.has(entry.digest) else None
    return None


def _manifests(data: bytes, what: str) -> list[Descriptor]:
    entries = load_json(data, what, MAX_MANIFEST_SIZE).get("manifests") or []
    if not isinstance(entries, list) or len(entries) > MAX_IMAGES:
        raise Invalid(f"invalid {what}: manifests is not a list of at most {MAX_IMAGES}")
    return [Descriptor.from_json(entry) for entry in entries]


def _blob(content: ContentStore, descriptor: Descriptor) -> bytes:
    if not content.has(descriptor.digest):
        raise Invalid(f"invalid image archive: it names {descriptor.digest}, which it does not hold")
    return content.read(descriptor.digest, MAX_MANIFEST_SIZE)


def _annotated_name(descriptor: Descriptor) -> Reference | None:
    name = descriptor.annotations.get(ANNOTATION_IMAGE_NAME)
    if not name:
        name = descriptor.annotations.get(ANNOTATION_REF_NAME, "")
        if ":" not in name and "/" not in name:
            return None  # a tag without a repository names nothing
    return parse_name(name)


def _json_list(data: bytes, what: str) -> list[Any]:
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"invalid {what}: {error}") from None
    if not isinstance(raw, list) or len(raw) > MAX_IMAGES:
        raise Invalid(f"invalid {what}: not a list of at most {MAX_IMAGES}")
    return raw


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
