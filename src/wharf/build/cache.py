"""The build cache: results by key, their layers kept as blobs and snapshots while it lists them; and cache mounts.

<root>/caches/<name>    the directory of a cache mount; its record has the same name
"""

import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wharf.build.cache_policy import Space, chosen
from wharf.build.graph import Vertex
from wharf.build.tree import Tree
from wharf.spec.build_record import CACHE_MOUNT, BuildRecord, CacheEntry
from wharf.spec.digest import Digest
from wharf.storage.metadata import Database
from wharf.storage.trash import Trash
from wharf.storage.usage import tree_usage
from wharf.transfer.store import ImageStore

WRITE_AFTER = 1.0
"""Seconds after a build until what it took is written: after its answer, and once for builds that follow each other."""
MAX_TREES = 512


def mount_name(cache_id: str) -> str:
    """The directory of the cache mount with this id."""
    return hashlib.sha256(cache_id.encode("utf-8", "surrogateescape")).hexdigest()


class BuildCache:
    """See the module; safe for use from many threads. `mounts` is the directory of all cache mounts."""

    def __init__(self, database: Database, images: ImageStore, trash: Trash, mounts: str) -> None:
        self._database = database
        self._records = database.build_cache
        self._images = images
        self._trash = trash
        self.mounts = mounts
        self._lock = threading.Lock()
        self._running: list[int] = []
        self._taken: dict[str, tuple[int, int]] = {}
        """Results that builds took and that is not written yet: when last, how often."""
        self._writing: threading.Timer | None = None
        self._trees: dict[str, Tree] = {}
        """The results that were asked for last, as their records have them."""

    def restore(self) -> None:
        """At start: what a crash left of mounts in the making goes; a directory without a record gets one."""
        for name in os.listdir(self.mounts):
            if "." in name:
                self._trash.discard(os.path.join(self.mounts, name))
            elif self._records.get(name) is None:
                now = time.time_ns()
                self._records.put(BuildRecord(name, "cache mount", created_at=now, used_at=now, kind=CACHE_MOUNT))

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """While a build runs: what it takes from here is not pruned."""
        began = time.time_ns()
        with self._lock:
            self._running.append(began)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(began)
                if self._taken and self._writing is None:
                    self._writing = threading.Timer(WRITE_AFTER, self._write_later)
                    self._writing.daemon = True
                    self._writing.start()

    def close(self) -> None:
        """Write down what builds took."""
        with self._lock:
            self._write_taken()

    def get(self, key: Digest) -> Tree | None:
        """A result whose layers are all there."""
        with self._lock:
            tree = self._trees.get(key.hex) or self._read(key.hex)
        if tree is None or not all(self._images.content.has(layer.digest) for layer in tree.layers):
            return None
        with self._lock:
            self._taken[key.hex] = (time.time_ns(), self._taken.get(key.hex, (0, 0))[1] + 1)
        return tree

    def _read(self, name: str) -> Tree | None:
        record = self._records.get(name)
        if record is None:
            return None
        if len(self._trees) >= MAX_TREES:
            del self._trees[next(iter(self._trees))]
        tree = self._trees[name] = Tree(record.layers, record.diff_ids)
        return tree

    def _write_later(self) -> None:
        with self._lock:
            if self._writing is not None:
                self._write_taken()

    def _write_taken(self) -> None:
        """One transaction for all that builds took: on the way to a result nothing is written. The lock is held."""
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        if not self._taken:
            return
        with self._database.transaction(durable=False):
            for name, (when, times) in self._taken.items():
                record = self._records.get(name)
                if record is not None:
                    self._records.put(replace(record, used_at=when, uses=record.uses + times), durable=False)
        self._taken.clear()

    def put(self, key: Digest, result: Tree, vertex: Vertex, parents: Sequence[Digest]) -> None:
        """Remember one."""
        now = time.time_ns()
        own = result.layers[-1].size if result.layers else 0
        names = tuple(parent.hex for parent in parents)
        record = BuildRecord(key.hex, vertex.title, result.layers, result.diff_ids, own, now, now, 0, names)
        with self._lock:
            self._records.put(record, durable=False)
            self._trees.pop(key.hex, None)

    def mount_used(self, name: str, title: str) -> None:
        """A step uses the cache mount `name`."""
        now = time.time_ns()
        with self._lock:
            known = self._records.get(name) or BuildRecord(name, title, created_at=now, kind=CACHE_MOUNT)
            self._records.put(replace(known, used_at=now, uses=known.uses + 1), durable=False)

    def entries(self) -> list[CacheEntry]:
        """Every record as people see it; the sizes of cache mounts are measured now."""
        shown = {diff_ids for image in self._images.all() for diff_ids in _prefixes(image.image.diff_ids)}
        with self._lock:
            since = min(self._running) if self._running else 0
            self._write_taken()
        found = []
        for record in self._records.all():
            if record.kind == CACHE_MOUNT:
                record = replace(record, size=self._mount_size(record.id))
            in_use = bool(since) and record.used_at >= since
            found.append(CacheEntry(record, in_use, bool(record.diff_ids) and record.diff_ids in shown))
        return found

    def _mount_size(self, name: str) -> int:
        with contextlib.suppress(OSError):
            return tree_usage(os.path.join(self.mounts, name))
        return 0

    def prune(self, wanted: Callable[[CacheEntry], bool], space: Space, free: int) -> tuple[list[str], int]:
        """Forget those that are wanted gone, as far as `space` asks for it (`free`: bytes that the disk has); their
        keys, and the bytes of what nothing else needs."""
        gone = chosen(self.entries(), wanted, space, free)
        freed = 0
        with self._lock:
            for record in gone:
                self._records.delete(record.id, durable=False)
                self._trees.pop(record.id, None)
                if record.kind == CACHE_MOUNT:
                    freed += record.size
                    self._trash.discard(os.path.join(self.mounts, record.id))
            kept = {layer.digest for record in self._records.all() for layer in record.layers}
        kept |= {blob.digest for image in self._images.all() for blob in image.blobs}
        layers = {layer.digest: layer.size for record in gone for layer in record.layers if layer.digest not in kept}
        self._images.operations.request_sweep()
        return [record.id for record in gone], freed + sum(layers.values())


def _prefixes(diff_ids: tuple[Digest, ...]) -> Iterator[tuple[Digest, ...]]:
    """An image shows its own tree and every one below it."""
    return (diff_ids[:count] for count in range(1, len(diff_ids) + 1))
