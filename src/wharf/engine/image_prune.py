"""Delete the images that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.engine.filters import Filters, check_filters, flag, labels_match, until
from wharf.engine.image_delete import delete_image
from wharf.engine.image_list import created_ns, repo_tags
from wharf.errors import Conflict, NotFound
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import DeleteItem, ImagesPruneReport

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("dangling", "label", "label!", "until")


def prune_images(engine: Engine, filters: Filters) -> ImagesPruneReport:
    """Delete untagged images, or with `dangling=false` all that no container uses.

    Raises Invalid for a bad filter, Conflict while another prune runs.
    """
    check_filters(filters, FILTERS)
    dangling = flag(filters, "dangling", True)
    limit = until(filters)
    if not engine.images.prune_lock.acquire(blocking=False):
        raise Conflict("a prune operation is already running")
    try:
        images = engine.images.all()
        parents = {image.parent for image in images if image.parent}
        sizes = {chain: size for image in images for chain, size in zip(image.chain, image.layer_sizes, strict=True)}
        items: list[DeleteItem] = []
        for image in images:
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


def _delete(engine: Engine, image: ImageRecord) -> list[DeleteItem]:
    """What went; an image that is in use, or went meanwhile, is passed over."""
    items: list[DeleteItem] = []
    for name in [name.canonical() for name in image.names] or [image.id.hex]:
        try:
            items += delete_image(engine, name)
        except (Conflict, NotFound):
            continue
    return items
