"""The caches that one build brought along: what is asked of them is fetched then, and only then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.build.portable.document import PortableMount, PortableStep
from wharf.build.portable.sources import CacheSource
from wharf.build.tree import Tree
from wharf.errors import WharfError
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.storage.layers.unpack import unpack
from wharf.storage.snapshots import LayerDirs
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


@dataclass(slots=True)
class _Read:
    """A source with what it holds."""

    source: CacheSource
    steps: dict[str, PortableStep]
    mounts: dict[str, PortableMount]
    blobs: dict[Digest, Descriptor]


class ImportedCache:
    """The solver's `Imported`. A source that cannot be read is told to `warn`, and is an empty one."""

    def __init__(self, engine: Engine, sources: Sequence[CacheSource], warn: Callable[[str], None]) -> None:
        self._engine = engine
        self._warn = warn
        self._lock = threading.Lock()
        self._here: dict[Digest, Descriptor] | None = None
        self._read: list[_Read] = []
        for source in sources:
            try:
                found = source.document()
            except WharfError as error:
                warn(f"cache import: {error.message}")
                continue
            steps = {step.key: step for step in found.steps}
            mounts = {mount.name: mount for mount in found.mounts}
            self._read.append(_Read(source, steps, mounts, dict(found.blobs or {})))

    @property
    def empty(self) -> bool:
        """Whether no source could be read."""
        return not self._read

    def get(self, key: Digest) -> Tree | None:
        """The result of a step, its blobs here and unpacked; None where no source has it whole."""
        for item in self._read:
            step = item.steps.get(key.hex)
            if step is None:
                continue
            try:
                layers = tuple(self._bring(item, diff_id) for diff_id in step.diff_ids)
                ensure_unpacked(self._engine.images, layers, step.diff_ids)
            except WharfError as error:
                self._warn(f"cache import: {step.title}: {error.message}")
                continue
            return Tree(layers, step.diff_ids)
        return None

    def restore_mount(self, name: str, path: str) -> bool:
        """Fill the empty directory `path` with the cache mount `name`; whether a source had it."""
        for item in self._read:
            mount = item.mounts.get(name)
            if mount is None:
                continue
            try:
                blob = item.blobs[mount.diff_id]
                item.source.fetch(blob)
                self._unpack(blob, mount.diff_id, path)
            except WharfError as error:
                self._warn(f"cache import: {mount.title}: {error.message}")
                continue
            return True
        return False

    def _unpack(self, blob: Descriptor, diff_id: Digest, path: str) -> None:
        engine = self._engine
        with engine.content.open(blob.digest) as file:
            unpack(engine.worker, file, LayerDirs(path, ()), host=engine.host, expected=diff_id, name=str(blob.digest))

    def _bring(self, item: _Read, diff_id: Digest) -> Descriptor:
        """A blob of the layer: one that is here, whatever its compression, else the source's."""
        here = self._local().get(diff_id)
        if here is not None and self._engine.content.has(here.digest):
            return here
        item.source.fetch(item.blobs[diff_id])
        return item.blobs[diff_id]

    def _local(self) -> dict[Digest, Descriptor]:
        with self._lock:
            if self._here is None:
                engine = self._engine
                trees = [(image.layers, image.image.diff_ids) for image in engine.images.all()]
                trees += [(record.layers, record.diff_ids) for record in engine.database.build_cache.all()]
                self._here = {
                    diff_id: layer
                    for layers, diff_ids in trees
                    for layer, diff_id in zip(layers, diff_ids, strict=False)
                }
            return self._here
