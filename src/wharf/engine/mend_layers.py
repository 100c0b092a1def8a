"""What containers stand on, made again: an unclean boot discards the layers that no sync had covered.

The blobs were synced before anybody was told of them, so the layers are unpacked again from these, and Docker's mount
points put over them: at the start of wharfd, before anything is started, and only where something was discarded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wharf.engine.image_mounts import container_of
from wharf.errors import NotFound, WharfError
from wharf.spec.digest import Digest, chain_ids
from wharf.spec.image import Descriptor
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

log = logging.getLogger("wharf.engine")


def mend_after_boot(engine: Engine) -> None:
    """At start. What cannot be mended is told in the log and stays as it is: `system check` names it."""
    if not engine.snapshots.discarded:
        return
    for key in filter(container_of, engine.snapshots.keys()):
        try:
            missing = engine.snapshots.missing_below(key)
            if missing:
                mend_below(engine, key)
                log.warning("start-up: container %s: made again what the power loss took: %s", key, missing)
        except (WharfError, OSError) as error:
            log.error("start-up: container %s cannot start: what it stands on is gone: %s", key, error)


def mend_below(engine: Engine, key: str) -> None:
    """Make again what an active snapshot stands on. Raises NotFound where no image has it, Invalid for a bad blob."""
    top = engine.snapshots.parent(key)
    if top is not None:
        ensure_unpacked(engine.images, *_stack(engine, top))
    engine.snapshots.mend_below(key)


def _stack(engine: Engine, top: Digest) -> tuple[Sequence[Descriptor], Sequence[Digest]]:
    """The layers up to `top` and their diffIDs, bottom first."""
    stacks = [(image.layers, image.image.diff_ids) for image in engine.database.images.all()]
    stacks += [(record.layers, record.diff_ids) for record in engine.database.build_cache.all()]
    for layers, diff_ids in stacks:
        chain = chain_ids(diff_ids)
        if top in chain:
            height = chain.index(top) + 1
            return layers[:height], diff_ids[:height]
    raise NotFound(f"no image has the layer {top}: load or pull the image again")
