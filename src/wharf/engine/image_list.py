"""List images."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wharf.engine.filters import Filters, check_filters, flag, glob_match, labels_match, until
from wharf.engine.image_manifests import manifests_of
from wharf.engine.times import to_nanoseconds, to_seconds
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import ImageSummary
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("dangling", "label", "label!", "before", "since", "reference", "until")


def list_images(
    engine: Engine,
    filters: Filters,
    *,
    all: bool = False,
    shared_size: bool = False,
    digests: bool = False,
    manifests: bool = False,
) -> list[ImageSummary]:
    """Images, newest first. Without `all`, untagged images that others were made from are left out.

    `manifests`: with all that their indexes list.

    Raises Invalid for an unknown filter, NotFound for an unknown image in `before` or `since`.
    """
    check_filters(filters, FILTERS)
    images = engine.images.all()
    chosen = [image for image in images if _wanted(engine, image, filters)]
    parents = {image.parent for image in images if image.parent}
    users = Counter(record.image_id for record in engine.containers.all())
    layer_users = Counter(chain_id for image in images for chain_id in image.chain)
    out = []
    for image in chosen:
        names = _named(image, filters)
        if not names and _hidden(image, filters, all, is_parent=image.id in parents):
            continue
        summary = _summary(image, names, users[str(image.id)])
        if shared_size:
            pairs = zip(image.chain, image.layer_sizes, strict=True)
            summary.shared_size = sum(size for chain_id, size in pairs if layer_users[chain_id] > 1)
        if manifests:
            summary.manifests = manifests_of(engine, names[0].canonical() if names else str(image.id), image)
        out.append(summary)
    return sorted(out, key=lambda summary: summary.created, reverse=True)


def created_ns(image: ImageRecord) -> int:
    """When the image was made, in nanoseconds since 1970; 0 where its config does not say."""
    return to_nanoseconds(image.image.created) or 0


def repo_tags(names: tuple[Reference, ...]) -> list[str]:
    """The names with tags, as Docker shows them."""
    return [name.familiar() for name in names if name.tag and not name.digest]


def repo_digests(names: tuple[Reference, ...]) -> list[str]:
    """The names with digests, as Docker shows them."""
    return [name.familiar() for name in names if name.digest]


def _wanted(engine: Engine, image: ImageRecord, filters: Filters) -> bool:
    for name in filters.get("before", ()):
        if created_ns(image) >= created_ns(engine.images.resolve(name)):
            return False
    for name in filters.get("since", ()):
        if created_ns(image) <= created_ns(engine.images.resolve(name)):
            return False
    limit = until(filters)
    if limit is not None and created_ns(image) / 1e9 > limit:
        return False
    if "dangling" in filters and flag(filters, "dangling", False) != (not repo_tags(image.names)):
        return False
    return labels_match(filters, image.image.config.labels)


def _named(image: ImageRecord, filters: Filters) -> tuple[Reference, ...]:
    patterns = filters.get("reference")
    if not patterns:
        return image.names
    return tuple(
        name
        for name in image.names
        if any(glob_match(text, name.familiar()) or glob_match(text, name.familiar_name) for text in patterns)
    )


def _hidden(image: ImageRecord, filters: Filters, everything: bool, *, is_parent: bool) -> bool:
    """Whether an image without a name that passes stays out of the list."""
    return bool(filters.get("reference")) or (is_parent and not everything)


def _summary(image: ImageRecord, names: tuple[Reference, ...], users: int) -> ImageSummary:
    return ImageSummary(
        containers=users,
        created=to_seconds(image.image.created),
        id=str(image.id),
        labels=dict(image.image.config.labels) or None,
        parent_id=str(image.parent) if image.parent else "",
        repo_digests=repo_digests(names),
        repo_tags=repo_tags(names),
        size=image.size,
    )
