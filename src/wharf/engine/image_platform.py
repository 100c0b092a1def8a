"""One platform of an image: the image itself, or a manifest beside it in an index that is kept whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.errors import Conflict, Invalid, NotFound
from wharf.spec.image import MAX_CONFIG_SIZE, MAX_MANIFEST_SIZE, Descriptor, Image, Manifest
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import DeleteItem
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.transfer.closure import INDEXES, closure, entries

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def target_of(engine: Engine, text: str, image: ImageRecord) -> Descriptor:
    """What the name `text` points to; of an id: the index that one of the image's names points to, or its manifest."""
    names = engine.database.names
    try:
        reference = Reference.parse(text).with_default_tag()
        found = names.get((replace(reference, tag=None) if reference.digest else reference).canonical())
    except Invalid:
        found = None
    if found is not None and found.image_id == image.id:
        return found.target
    targets = [name.target for name in names.where("image_id", str(image.id))]
    return next((target for target in targets if target.media_type in INDEXES), image.manifest)


def of_platform(engine: Engine, text: str, image: ImageRecord, platform: Platform) -> ImageRecord:
    """The image `text` stands for on that platform, all of whose blobs are here.

    One that was never unpacked here has the sizes of its blobs for those of its layers, and no parent.
    Raises NotFound in Docker's words.
    """
    if platform.matches(image.image.platform):
        return image
    for entry in entries(engine.content, target_of(engine, text, image)):
        offered = entry.platform
        if offered is None or not platform.matches(offered) or closure(engine.content, entry).missing:
            continue
        manifest = Manifest.from_bytes(engine.content.read(entry.digest, MAX_MANIFEST_SIZE))
        return replace(
            image,
            id=manifest.config.digest,
            image=Image.from_bytes(engine.content.read(manifest.config.digest, MAX_CONFIG_SIZE)),
            manifest=Descriptor(entry.media_type, entry.digest, entry.size),
            config=manifest.config,
            layers=manifest.layers,
            layer_sizes=tuple(layer.size for layer in manifest.layers),
            parent=None,
        )
    raise NotFound(
        f"image with reference {text} was found but its platform ({image.image.platform}) "
        f"does not match the specified platform ({platform})"
    )


def delete_platforms(
    engine: Engine, text: str, image: ImageRecord, platforms: Sequence[Platform], *, force: bool
) -> list[DeleteItem]:
    """Take platforms out of what is kept of the index that `text` points to; the name and the others stay.

    Moby's containerd store does so, and wants it forced, since other names may lead to the same manifest.
    Raises Invalid without `force`, NotFound, Conflict for a manifest that an image here was made from.
    """
    if not force:
        raise Invalid("Content will be removed from all images referencing this variant. Use —-force to force delete.")
    chosen = [of_platform(engine, text, image, platform) for platform in platforms]
    used = {other.manifest.digest for other in engine.images.all()}
    for item in chosen:
        if item.manifest.digest in used or item.id == image.id:
            raise Conflict(
                f"conflict: unable to delete {item.image.platform} of {text} (cannot be forced) - "
                f"image {item.id.hex[:12]} is that platform: remove the image itself"
            )
    gone = list(dict.fromkeys(item.manifest.digest for item in chosen))
    with engine.images.operations.operation():
        for digest in gone:
            engine.content.delete(digest)
        engine.images.operations.request_sweep()  # takes what only these led to
    return [DeleteItem(deleted=str(digest)) for digest in gone]


def warn_of_platform(platform: Platform, host: Platform) -> list[str]:
    """What a client is told that asked for no platform and gets another than this machine's."""
    if platform.architecture in ("", host.architecture):
        return []
    return [
        f"The requested image's platform ({platform}) does not match the detected host platform ({host}) and no "
        "specific platform was requested"
    ]
