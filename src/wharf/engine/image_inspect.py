"""Look at one image: inspect and history."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from wharf.engine.image_list import repo_digests, repo_tags
from wharf.engine.image_manifests import manifests_of
from wharf.engine.image_platform import of_platform
from wharf.engine.times import format_time, to_seconds
from wharf.spec.container import ZERO_TIME
from wharf.spec.image_json import config_to_json
from wharf.spec.image_record import ImageRecord
from wharf.spec.image_views import GraphDriver, HistoryItem, ImageInspect, ImageMetadata, RootFs
from wharf.spec.platform import Platform

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def find_image(engine: Engine, name: str) -> ImageRecord:
    """The image of a name or id; raises NotFound `No such image: …`, Invalid for a malformed name."""
    return engine.images.resolve(name)


def inspect_image(
    engine: Engine, name: str, platform: Platform | None = None, *, manifests: bool = False
) -> ImageInspect:
    """Everything about an image, or another platform of it; raises as `find_image`, NotFound for a platform."""
    found = record = find_image(engine, name)
    if platform is not None:
        record = of_platform(engine, name, record, platform)
    image = record.image
    last_comment = image.history[-1].comment if image.history else ""
    return ImageInspect(
        id=str(record.id),
        repo_tags=repo_tags(record.names),
        repo_digests=repo_digests(record.names),
        parent=str(record.parent) if record.parent else "",
        comment=image.comment or last_comment,
        created=image.created,
        docker_version=image.docker_version,
        author=image.author,
        config=config_to_json(image.config),
        architecture=image.platform.architecture,
        variant=image.platform.variant,
        os=image.platform.os,
        size=record.size,
        graph_driver=_graph_driver(engine, record),
        root_fs=RootFs(layers=[str(item) for item in image.diff_ids] or None),
        metadata=ImageMetadata(format_time(record.last_tagged) if record.last_tagged else ZERO_TIME),
        manifests=manifests_of(engine, name, found) if manifests else None,
    )


def history(engine: Engine, name: str, platform: Platform | None = None) -> list[HistoryItem]:
    """How an image came about, newest step first; raises as `find_image`.

    Sizes are those of the unpacked layers. Only steps whose images are here have an id.
    """
    found = find_image(engine, name)
    record: ImageRecord | None = of_platform(engine, name, found, platform) if platform else found
    assert record is not None
    sizes = iter(record.layer_sizes)
    items = [
        HistoryItem(
            comment=line.comment,
            created=to_seconds(line.created),
            created_by=line.created_by,
            size=0 if line.empty_layer else next(sizes, 0),
        )
        for line in record.image.history
    ]
    items.reverse()
    for item in items:
        if record is None:
            break
        item.id = str(record.id)
        item.tags = repo_tags(record.names) or None
        record = engine.images.get(record.parent) if record.parent else None
    return items


def _graph_driver(engine: Engine, record: ImageRecord) -> GraphDriver:
    top = record.chain_id
    if top is None or not engine.images.snapshots.exists(top):
        return GraphDriver()
    dirs = engine.images.snapshots.layers(top)
    # Docker's driver shows where it would mount the layer; ours mounts it per container only.
    own = posixpath.dirname(dirs.upper)
    data = {"MergedDir": f"{own}/merged", "UpperDir": dirs.upper, "WorkDir": f"{own}/work"}
    if dirs.lowers:
        data = {"LowerDir": ":".join(dirs.lowers), **data}
    return GraphDriver(data)
