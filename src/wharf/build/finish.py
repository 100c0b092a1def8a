"""A solved target becomes an image: its configuration and manifest in the blob store, then its row and names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wharf.build.lower import Target
from wharf.build.times import text_of
from wharf.build.tree import Tree
from wharf.engine.image_events import publish_image_event
from wharf.errors import Invalid
from wharf.spec.image import MEDIA_CONFIG, MEDIA_INDEX, Descriptor, Image, Manifest, canonical_json
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.transfer.unpack import put_manifest, unpacked_sizes

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def finished(engine: Engine, target: Target, tree: Tree, extra: dict[str, Any]) -> ImageRecord:
    """The image of a target, its blobs in the store and no row yet; `extra` goes into its configuration."""
    store = engine.images
    created = text_of(target.epoch)
    base = len(target.base.image.history) if target.base else 0
    history = tuple(
        line if number < base else replace(line, created=created) for number, line in enumerate(target.image.history)
    )
    image: Image = replace(target.image, created=created, history=history, diff_ids=tree.diff_ids, extra=extra)
    if tree.fetch is not None:
        tree.fetch()
    sizes = unpacked_sizes(store, tree.layers, tree.diff_ids)
    config = store.content.put(image.to_bytes(), durable=False)
    descriptor = Descriptor(MEDIA_CONFIG, config.digest, config.size)
    return ImageRecord(
        id=config.digest,
        image=image,
        manifest=put_manifest(store, Manifest(descriptor, tree.layers)),
        config=descriptor,
        layers=tree.layers,
        layer_sizes=sizes,
        added_at=time.time_ns(),
    )


def record(engine: Engine, images: Sequence[ImageRecord], names: Sequence[Reference], *, indexed: bool = False) -> None:
    """Make images the engine's, and give the names to the one of this machine's platform, or the first.

    `indexed`: the names point to an index of all.
    """
    store = engine.images
    store.content.sync()
    here = engine.images.platform
    chosen = next((image for image in images if image.image.platform.architecture == here.architecture), images[0])
    target = put_index(engine, images) if indexed else None
    for image in images:
        mine = tuple(names) if image is chosen else ()
        store.add(replace(image, last_tagged=time.time_ns() if mine else 0), mine, target if mine else None)
        publish_image_event(engine, "create", image)
        for name in mine:
            publish_image_event(engine, "tag", image, name.familiar())


def index_of(manifests: Sequence[tuple[Descriptor, ImageRecord]]) -> bytes:
    """The index document of manifests and their images."""
    entries = [replace(manifest, platform=image.image.platform).to_json() for manifest, image in manifests]
    return canonical_json({"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": entries})


def put_index(engine: Engine, images: Sequence[ImageRecord]) -> Descriptor:
    """The index of images that were finished here."""
    data = index_of([(image.manifest, image) for image in images])
    blob = engine.content.put(data)
    return Descriptor(MEDIA_INDEX, blob.digest, blob.size)


def same_platforms(images: Sequence[ImageRecord]) -> None:
    """Raises Invalid where two images of one index are for one platform."""
    seen = [str(image.image.platform) for image in images]
    for platform in seen:
        if seen.count(platform) > 1:
            raise Invalid(f"more than one image for {platform}: the base image is of one platform only")


def layer_titles(image: Image) -> list[str]:
    """What made each layer, as the history tells it."""
    made = [line.created_by for line in image.history if not line.empty_layer]
    return [made[number] if number < len(made) else "" for number in range(len(image.diff_ids))]
