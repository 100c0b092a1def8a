"""Push several images and the index of them: blobs first, the manifests by their digests, the index last of all."""

from collections.abc import Sequence
from dataclasses import replace

from wharf.registry.client.repository import Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import Document
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_INDEX, Descriptor, Manifest, canonical_json
from wharf.spec.image_record import ImageRecord
from wharf.transfer.compress import StoredSource
from wharf.transfer.compressed import send_layer
from wharf.transfer.store import ImageStore


def push_index(store: ImageStore, repository: Repository, tag: str, images: Sequence[ImageRecord]) -> Digest:
    """The digest of the index that the tag has then. Raises WharfError."""
    uploads = Uploads(repository)
    entries: list[Descriptor] = []
    for image in images:
        layers = tuple(send_layer(store, uploads, layer) for layer in image.layers)
        if uploads.size(image.config.digest) is None:
            uploads.send(StoredSource(store.content, image.config))
        data = Manifest(image.config, layers).to_bytes()
        document = Document(Manifest(image.config, layers).media_type, data, Digest.of(data))
        uploads.put_manifest(str(document.digest), document)
        entry = Descriptor(document.media_type, document.digest, len(data))
        entries.append(replace(entry, platform=image.image.platform))
    data = canonical_json(
        {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": [entry.to_json() for entry in entries]}
    )
    index = Document(MEDIA_INDEX, data, Digest.of(data))
    uploads.put_manifest(tag, index)
    return index.digest
