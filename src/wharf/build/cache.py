"""The build cache: results by key, their layers kept as blobs and snapshots while it lists them."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from wharf.build.graph import Vertex
from wharf.build.tree import Tree
from wharf.spec.build_record import BuildRecord
from wharf.spec.digest import Digest
from wharf.storage.metadata import Database
from wharf.transfer.store import ImageStore


class BuildCache:
    """See the module; safe for use from many threads."""

    def __init__(self, database: Database, images: ImageStore) -> None:
        self._records = database.build_cache
        self._images = images
        self._lock = threading.Lock()

    def get(self, key: Digest) -> Tree | None:
        """A result whose layers are all there."""
        record = self._records.get(key.hex)
        if record is None or not all(self._images.content.has(layer.digest) for layer in record.layers):
            return None
        with self._lock:
            self._records.put(replace(record, used_at=time.time_ns(), uses=record.uses + 1), durable=False)
        return Tree(record.layers, record.diff_ids, key=record.id)

    def put(self, key: Digest, result: Tree, vertex: Vertex) -> None:
        """Remember one."""
        now = time.time_ns()
        own = result.layers[-1].size if result.layers else 0
        record = BuildRecord(key.hex, vertex.title, result.layers, result.diff_ids, own, now, now, 0)
        with self._lock:
            self._records.put(record, durable=False)

    def all(self) -> list[BuildRecord]:
        """Every record."""
        return self._records.all()

    def prune(self, wanted: Callable[[BuildRecord], bool]) -> tuple[list[str], int]:
        """Forget those that are wanted gone; their keys, and the bytes of layers that nothing else needs."""
        with self._lock:
            gone = [record for record in self._records.all() if wanted(record)]
            for record in gone:
                self._records.delete(record.id, durable=False)
            kept = {layer.digest for record in self._records.all() for layer in record.layers}
        kept |= {blob.digest for image in self._images.all() for blob in image.blobs}
        freed = {layer.digest: layer.size for record in gone for layer in record.layers if layer.digest not in kept}
        self._images.operations.request_sweep()
        return [record.id for record in gone], sum(freed.values())
