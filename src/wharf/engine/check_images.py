"""Images: blobs that are missing, damaged or nobody's; layers that are not unpacked; an index.json that lies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from wharf.spec.digest import Digest
from wharf.spec.finding import Finding
from wharf.spec.image_record import ImageRecord
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Found = tuple[Finding, Callable[[], object] | None]
BROKEN = "load or pull the image again"


def check_images(engine: Engine) -> list[Found]:
    """See the module."""
    found: list[Found] = []
    with engine.images.operations.operation():  # nothing that is read here is swept meanwhile
        images = engine.images.all()
        broken: set[Digest] = set()
        for image in images:
            found += _check_image(engine, image, broken)
    unnamed: list[Digest] = []
    snapshots: list[Digest] = []

    index: list[Found] = []

    def look() -> None:
        blobs, chains = engine.images.unnamed()
        unnamed.extend(blobs)
        snapshots.extend(chains)
        index.extend(_check_index(engine))

    if engine.images.operations.alone(look):
        sweep = engine.images.operations.request_sweep
        found += [(Finding("blob", str(digest), "no image names it"), sweep) for digest in unnamed]
        found += [(Finding("snapshot", str(digest), "no image and no container needs it"), sweep)
                  for digest in snapshots]  # fmt: skip
    for path in engine.content.strange():
        found.append((Finding("file", path, "it is no blob: take it away", safe=False), None))
    return found + index


def _check_image(engine: Engine, image: ImageRecord, seen: set[Digest]) -> Iterator[Found]:
    for blob in image.blobs:
        if blob.digest in seen:
            continue
        seen.add(blob.digest)
        problem = engine.content.problem(blob.digest)
        if problem:
            yield Finding("blob", str(blob.digest), f"{problem}: {BROKEN} {image.id}", safe=False), None
    if not all(engine.snapshots.exists(chain_id) for chain_id in image.chain):
        mend = partial(ensure_unpacked, engine.images, image.layers, image.image.diff_ids)
        yield Finding("image", str(image.id), "a layer of it is not unpacked"), mend


def _check_index(engine: Engine) -> Iterator[Found]:
    path = os.path.join(engine.content.root, "index.json")
    try:
        with open(path, "rb") as file:
            manifests = json.load(file).get("manifests")
    except (OSError, ValueError, AttributeError):
        manifests = None
    if manifests != [entry.to_json() for entry in engine.images.projection()]:
        yield Finding("index.json", path, "it does not tell the images there are"), engine.images.project
