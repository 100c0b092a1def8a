"""New images made here: a config, one more layer, a record. Used by import, commit and bootstrap."""

import time
from dataclasses import dataclass, replace

from wharf.kernel import faults
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_CONFIG, MEDIA_LAYER, Descriptor, Image, Manifest
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.storage.content import Blob
from wharf.transfer.store import ImageStore
from wharf.transfer.unpack import put_manifest, unpack

EMPTY_LAYER = Digest("5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")
"""The digest of 1024 zero bytes: a tar without entries. Such a layer is never stored, only told of in the history."""


@dataclass(frozen=True, slots=True)
class Base:
    """What a new image is made on: nothing, or another image."""

    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    parent: Digest | None = None


def add_image(
    store: ImageStore, image: Image, base: Base, layer: Blob | None, names: tuple[Reference, ...] = ()
) -> ImageRecord:
    """Store an image: `image` with the base's layers and one more (an uncompressed tar that is in the blob store).

    The image's diffIDs are filled in here. Durable when it returns. Call it inside an operation.
    """
    layers, diff_ids = base.layers, base.diff_ids
    if layer is not None and layer.digest != EMPTY_LAYER:
        layers = (*layers, Descriptor(MEDIA_LAYER, layer.digest, layer.size))
        diff_ids = (*diff_ids, layer.digest)
    image = replace(image, diff_ids=diff_ids)
    sizes = unpack(store, layers, diff_ids)
    faults.done("image:unpacked")
    config = store.content.put(image.to_bytes(), durable=False)
    faults.done("image:config")
    descriptor = Descriptor(MEDIA_CONFIG, config.digest, config.size)
    record = ImageRecord(
        id=config.digest,
        image=image,
        manifest=put_manifest(store, Manifest(descriptor, layers)),
        config=descriptor,
        layers=layers,
        layer_sizes=sizes,
        added_at=time.time_ns(),
        last_tagged=time.time_ns() if names else 0,
        parent=base.parent,
    )
    faults.done("image:manifest")
    store.content.sync()
    faults.done("image:synced")
    store.add(record, names)
    return replace(record, names=names)
