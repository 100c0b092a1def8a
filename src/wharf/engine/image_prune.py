"""Delete the images that nothing uses."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wharf.engine.filters import Filters, check_filters, flag, labels_match, until
from wharf.engine.image_delete import delete_image
from wharf.engine.image_list import created_ns, repo_tags
from wharf.engine.image_mounts import images_of
from wharf.engine.image_use import last_use
from wharf.errors import Conflict, Invalid, NotFound
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import DeleteItem, ImagesPruneReport
from wharf.spec.quantities import parse_duration, parse_size

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("dangling", "label", "label!", "until", "max-size", "unused-for")
"""The last two are not Docker's."""


def prune_images(engine: Engine, filters: Filters) -> ImagesPruneReport:
    """Delete untagged images, or with `dangling=false` all that no container uses.

    `unused-for` (a duration): all that no container has used for so long, tagged or not. `max-size` (bytes): those that
    were not used for the longest time, until the layers of the rest take no more than that, or all are in use.
    Raises Invalid for a bad filter, Conflict while another prune runs.
    """
    check_filters(filters, FILTERS)
    dangling = flag(filters, "dangling", True)
    limit = until(filters)
    by_use = _by_use(filters)
    if not engine.images.prune_lock.acquire(blocking=False):
        raise Conflict("a prune operation is already running")
    try:
        images = engine.images.all()
        parents = {image.parent for image in images if image.parent}
        sizes = {chain: size for image in images for chain, size in zip(image.chain, image.layer_sizes, strict=True)}
        items: list[DeleteItem] = []
        if by_use:
            items = _collect(engine, filters, *by_use)
        for image in [] if by_use else images:
            if (not image.names and image.id in parents) or (dangling and repo_tags(image.names)):
                continue
            if limit is not None and created_ns(image) / 1e9 > limit:
                continue
            if labels_match(filters, image.image.config.labels):
                items += _delete(engine, image)
    finally:
        engine.images.prune_lock.release()
    deleted = {item.deleted for item in items}
    reclaimed = sum(size for chain_id, size in sizes.items() if str(chain_id) in deleted)
    engine.events.publish("image", "prune", "", {"reclaimed": str(reclaimed)})
    return ImagesPruneReport(items or None, reclaimed)


def _by_use(filters: Filters) -> tuple[int | None, int | None] | None:
    """Bytes that may stay, and nanoseconds without use that are borne; None where neither is asked for."""
    size, age = filters.get("max-size", []), filters.get("unused-for", [])
    if len(size) > 1 or len(age) > 1:
        raise Invalid("more than one max-size or unused-for filter specified")
    if not size and not age:
        return None
    most = parse_size(size[0]) if size else None
    if most is not None and most < 0:
        raise Invalid(f"invalid size: '{size[0][:50]}'")
    return most, parse_duration(age[0]) if age else None


def _collect(engine: Engine, filters: Filters, most: int | None, idle: int | None) -> list[DeleteItem]:
    """Those that were not used for the longest time first."""
    now, limit = time.time_ns(), until(filters)
    used = {image_id for record in engine.containers.all() for image_id in images_of(record)}
    items: list[DeleteItem] = []
    for image in sorted(engine.images.all(), key=lambda image: last_use(engine, image)):
        old = idle is not None and now - last_use(engine, image) >= idle
        large = most is not None and _bytes(engine.images.all()) > most
        if not (old or large) or str(image.id) in used or not labels_match(filters, image.image.config.labels):
            continue
        if limit is None or created_ns(image) / 1e9 <= limit:
            items += _delete(engine, image)
    return items


def _bytes(images: list[ImageRecord]) -> int:
    """Of the unpacked layers, each once."""
    return sum({chain: size for image in images
                for chain, size in zip(image.chain, image.layer_sizes, strict=True)}.values())  # fmt: skip


def _delete(engine: Engine, image: ImageRecord) -> list[DeleteItem]:
    """What went; an image that is in use, or went or was named meanwhile, is passed over."""
    items: list[DeleteItem] = []
    for name in [name.canonical() for name in image.names] or [image.id.hex]:
        try:
            items += delete_image(engine, name, seen=image)
        except (Conflict, NotFound):
            continue
    return items
