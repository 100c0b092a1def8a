"""Save: images as an archive that `docker load` and OCI tools read.

The archive is Docker's: an OCI image layout with manifest.json and, for tagged images, `repositories`. It is
deterministic: the same images and names give the same bytes, whatever machine saved them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from wharf.spec.digest import Digest
from wharf.spec.image import (
    MAX_CONFIG_SIZE,
    MEDIA_INDEX,
    Descriptor,
    Manifest,
    canonical_json,
)
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.storage.compression import decompressed
from wharf.storage.content import ContentStore
from wharf.transfer.closure import closure
from wharf.transfer.store import ANNOTATION_IMAGE_NAME, ANNOTATION_REF_NAME, ImageStore
from wharf.transfer.tar_writer import Node, Sink, TarWriter
from wharf.transfer.unpack import uncompressed

_BLOBS = "blobs/sha256"
_READ_ONLY = Node(0o644)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An image to save, with the names it is saved under (none when it was asked for by id).

    `index`: an index all of which is here, which goes with everything that it leads to, byte for byte."""

    image: ImageRecord
    names: tuple[Reference, ...]
    index: Descriptor | None = None


def save(store: ImageStore, chosen: Sequence[Chosen], out: Sink) -> None:
    """Write the archive. The images' blobs cannot go meanwhile. Raises whatever `out.write` raises."""
    with store.operations.operation():
        layers = {layer.digest: layer for item in chosen if not item.index for layer in item.image.layers}
        plain = {digest: uncompressed(store.content, layer) for digest, layer in sorted(layers.items())}
        documents, index, listing = _describe(store.content, chosen, plain)
        as_they_are = _indexed(store.content, chosen, documents)
        tar = TarWriter(out)
        tar.directory("blobs")
        tar.directory(_BLOBS)
        sources = {blob.digest: layers[digest] for digest, blob in plain.items()}
        for digest in sorted({*documents, *sources, *as_they_are}):
            name = f"{_BLOBS}/{digest.hex}"
            if digest in documents:
                tar.data(name, documents[digest], _READ_ONLY)
                continue
            if digest in as_they_are:
                with store.content.open(digest) as blob:
                    tar.copy(name, blob, as_they_are[digest].size)
                continue
            layer = sources[digest]
            with store.content.open(layer.digest) as blob:
                size = next(item.size for item in plain.values() if item.digest == digest)
                tar.copy(name, blob if layer.digest == digest else decompressed(blob), size)
        tar.data("index.json", canonical_json(index))
        tar.data("manifest.json", canonical_json(listing) + b"\n")
        tar.data("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        if repositories := _repositories(chosen, plain):
            tar.data("repositories", canonical_json(repositories) + b"\n")
        tar.close()


def _indexed(
    content: ContentStore, chosen: Sequence[Chosen], documents: dict[Digest, bytes]
) -> dict[Digest, Descriptor]:
    """The blobs behind the indexes; their documents join `documents`."""
    blobs: dict[Digest, Descriptor] = {}
    for item in chosen:
        if item.index:
            found = closure(content, item.index)
            documents.update({one.digest: content.read(one.digest, MAX_CONFIG_SIZE) for one in found.documents})
            blobs.update(found.blobs)
    return blobs


def _describe(
    content: ContentStore, chosen: Sequence[Chosen], plain: dict[Digest, Descriptor]
) -> tuple[dict[Digest, bytes], dict[str, Any], list[dict[str, Any]]]:
    documents: dict[Digest, bytes] = {}
    entries: list[dict[str, Any]] = []
    listing: list[dict[str, Any]] = []
    for item in chosen:
        config = content.read(item.image.id, MAX_CONFIG_SIZE)
        layers = _layers(item, plain)
        manifest = Manifest(item.image.config, layers).to_bytes()
        if layers == item.image.layers:  # then the manifest it came with describes it, byte for byte
            manifest = content.read(item.image.manifest.digest, MAX_CONFIG_SIZE)
        target = Descriptor(Manifest.from_bytes(manifest).media_type, Digest.of(manifest), len(manifest))
        documents[item.image.id], documents[target.digest] = config, manifest
        target = item.index or target
        for name in item.names or (None,):
            notes = {ANNOTATION_IMAGE_NAME: name.canonical(), ANNOTATION_REF_NAME: str(name.tag)} if name else {}
            entries.append(replace(target, annotations=notes).to_json())
        listing.append(_listed(item, layers))
    return documents, {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": entries}, listing


def _layers(item: Chosen, plain: dict[Digest, Descriptor]) -> tuple[Descriptor, ...]:
    """As they are in the archive: plain, as Docker writes them, but those behind an index as they came."""
    return item.image.layers if item.index else tuple(plain[layer.digest] for layer in item.image.layers)


def _listed(item: Chosen, layers: tuple[Descriptor, ...]) -> dict[str, Any]:
    return {
        "Config": f"{_BLOBS}/{item.image.id.hex}",
        "RepoTags": [name.familiar() for name in item.names] or None,
        "Layers": [f"{_BLOBS}/{layer.digest.hex}" for layer in layers],
        "LayerSources": {
            str(layer.digest): {"mediaType": layer.media_type, "size": layer.size, "digest": str(layer.digest)}
            for layer in layers
        },
    }


def _repositories(chosen: Sequence[Chosen], plain: dict[Digest, Descriptor]) -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = {}
    for item in chosen:
        for name in item.names:
            if item.image.layers:
                top = _layers(item, plain)[-1].digest.hex
                out.setdefault(name.familiar_name, {})[str(name.tag)] = top
    return out
