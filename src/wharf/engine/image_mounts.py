"""Image mounts: a container sees the files of another image, read-only, through a view of its own.

    active/<container id>.<digest of the destination>      one for each image mount (storage/snapshots)

A view is made with the container and goes with it. While it is there the layers below it stay, as those of the
container's own image do, also when the image itself is deleted. Nothing is mounted on the host: the container's first
process mounts the layers for itself (runtime/binds.py), so neither a restart nor a kill of wharfd is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from wharf.engine.image_inspect import find_image
from wharf.engine.labels import labelled
from wharf.engine.mount_spec import Planned
from wharf.spec.container import ContainerRecord, MountPoint
from wharf.spec.image_record import ImageRecord
from wharf.spec.mount import Overlay
from wharf.storage.snapshots import Snapshotter

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

WARNING = "Image mount is an experimental feature"
"""Docker's, once for each."""
_ID_LENGTH = 64


def view_key(container_id: str, destination: str) -> str:
    """The snapshot behind the image mount at `destination`."""
    return f"{container_id}.{hashlib.sha256(destination.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"


def container_of(key: str) -> str:
    """The container that an active snapshot is of, its root or a view; "" for one of no container."""
    head = key.partition(".")[0]
    return head if len(head) == _ID_LENGTH else ""


def views_of(record: ContainerRecord) -> list[str]:
    """The snapshots of a container beside its root."""
    return [view_key(record.id, point.destination) for point in record.mounts if point.type == "image"]


def resolve_images(engine: Engine, planned: Iterable[Planned]) -> list[ImageRecord]:
    """Look the images of a request up, and note their ids in its mounts. Raises NotFound, Invalid in Docker's words."""
    found = []
    for item in planned:
        if item.point.type == "image" and not item.point.source:
            image = find_image(engine, item.request.source)
            item.request = replace(item.request, source=str(image.id))  # a copy: inspect shows what was asked for
            item.layers = image.chain_id
            found.append(image)
    return found


def inherit_image(engine: Engine, other: ContainerRecord, item: Planned) -> None:
    """--volumes-from: the new container gets a view of the same layers, whatever became of the image. NotFound."""
    if item.point.type == "image":
        item.layers = engine.snapshots.parent(view_key(other.id, item.point.destination))


def make_views(engine: Engine, container_id: str, planned: Iterable[Planned], undo: contextlib.ExitStack) -> None:
    """Make the views of a new container; the sweep of deleted images must be held off meanwhile. Raises NotFound."""
    for item in planned:
        if item.point.type == "image":
            key = view_key(container_id, item.point.destination)
            undo.callback(engine.snapshots.remove, key)
            engine.snapshots.view(key, item.layers)
            item.point.source = engine.snapshots.layers(key).upper.removesuffix("/fs") + "/merged"  # as Docker shows it


def uses_image(record: ContainerRecord, image_id: str) -> bool:
    """Whether it is the container's own image, or mounted in it."""
    return image_id in images_of(record)


def images_of(record: ContainerRecord) -> set[str]:
    """Ids of the container's image and of those mounted in it."""
    mounted = zip(record.mounts, record.mount_requests, strict=True)
    return {record.image_id, *(request.source for point, request in mounted if point.type == "image")}


def layers_of(snapshots: Snapshotter, record: ContainerRecord, point: MountPoint) -> Overlay:
    """What an image mount shows. Raises NotFound."""
    return labelled(snapshots.shown(view_key(record.id, point.destination)), record.mount_label)


def mounted_layers(engine: Engine, record: ContainerRecord) -> Mapping[str, Overlay]:
    """For the runtime: source of an image mount -> its layers. Raises NotFound."""
    return {
        point.source: layers_of(engine.snapshots, record, point) for point in record.mounts if point.type == "image"
    }


def warnings_of(planned: Sequence[Planned]) -> list[str]:
    """What the client tells its user about the mounts it asked for itself."""
    return [WARNING for item in planned if item.point.type == "image" and not item.point.source]
