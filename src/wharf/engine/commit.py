"""Commit: a container's changes become an image's new layer."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wharf.engine.image_config import config_of_container, merge_config
from wharf.engine.image_events import publish_image_event
from wharf.engine.image_tag import parse_repo_tag
from wharf.engine.status import refuse_going
from wharf.engine.times import format_time
from wharf.errors import Conflict
from wharf.kernel import faults
from wharf.spec.container import ContainerConfig, ContainerRecord
from wharf.spec.digest import Digest
from wharf.spec.image import History, Image
from wharf.spec.image_record import ImageRecord
from wharf.storage.content import Blob
from wharf.storage.layers.pack import pack
from wharf.transfer.build_image import EMPTY_LAYER, Base, add_image

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


@dataclass(slots=True)
class CommitRequest:
    """What to commit and how to call it. `config` is the request's body, None for the container's own."""

    container: str
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: list[str] = field(default_factory=list)
    config: ContainerConfig | None = None


def commit_container(engine: Engine, request: CommitRequest) -> Digest:
    """Make an image of a container; its id. A running container is frozen meanwhile unless `pause` is off.

    Raises NotFound, Invalid for bad changes or names, Conflict for a container that is being removed.
    """
    from wharf.dockerfile.changes import apply_changes  # the parser of instructions: not for every engine

    record = engine.containers.find(request.container)
    reference = parse_repo_tag(request.repo, request.tag)
    refuse_going(record, "commit")
    own = config_of_container(record.config)
    wanted = config_of_container(request.config) if request.config else own
    config = merge_config(apply_changes(wanted, request.changes), own)
    with engine.images.operations.operation():
        base = engine.images.get(Digest.parse(record.image_id))
        if base is None:
            raise Conflict(f"You cannot commit container {record.id}: its image {record.image_id} was deleted")
        with engine.containers.held_still(record) if request.pause else contextlib.nullcontext():
            faults.done("commit:frozen")
            layer = _pack(engine, record)
            faults.done("commit:packed")
        faults.done("commit:thawed")
        image = replace(_image(base, request, record, layer), config=config)
        stack = Base(base.layers, base.image.diff_ids, base.id)
        made = add_image(engine.images, image, stack, layer, (reference,) if reference else ())
    publish_image_event(engine, "create", made)
    attributes = {"comment": request.comment, "imageID": str(made.id)}
    if reference:
        publish_image_event(engine, "tag", made, reference.familiar())
        attributes["imageRef"] = reference.familiar()
    labels = record.config.labels or {}
    attributes = {**labels, "image": record.config.image, "name": record.name, **attributes}
    engine.events.publish("container", "commit", record.id, attributes)
    return made.id


def _pack(engine: Engine, record: ContainerRecord) -> Blob:
    with engine.content.writer() as writer:
        try:
            pack(engine.worker, engine.snapshots.layers(record.id), writer, host=engine.host)
        finally:  # what a removal has taken away by now is not in it, whether or not that was noticed
            refuse_going(engine.containers.find(record.id), "commit")
        return writer.commit(durable=False)


def _image(base: ImageRecord, request: CommitRequest, record: ContainerRecord, layer: Blob) -> Image:
    created = format_time(time.time_ns())
    line = History(
        created=created,
        created_by=" ".join(record.config.cmd or ()),
        author=request.author,
        comment=request.comment,
        empty_layer=layer.digest == EMPTY_LAYER,
    )
    return replace(
        base.image,
        created=created,
        author=request.author,
        comment=request.comment,
        history=(*base.image.history, line),
    )
