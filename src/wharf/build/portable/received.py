"""A cache that a client sends before its build: an OCI layout, its blobs kept for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wharf.errors import Invalid
from wharf.registry.client.values import MAX_MANIFEST
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor, Manifest, load_json
from wharf.spec.image_record import BlobLease
from wharf.storage.compression import Readable, decompressed
from wharf.transfer.archive_files import read_archive

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

KEPT_SECONDS = 3600


def receive_cache(engine: Engine, stream: Readable, wanted: str) -> Digest:
    """Store what the archive holds; the digest of the cache: `wanted`, or the only one. Raises Invalid."""
    with engine.images.operations.operation():
        files = read_archive(decompressed(stream), engine.content)
        index = files.document("index.json")
        if index is None:
            raise Invalid("invalid build cache: no index.json")
        entries = load_json(index, "index.json", MAX_MANIFEST).get("manifests") or []
        if not isinstance(entries, list):
            raise Invalid("invalid build cache: index.json has no list of manifests")
        found = [Descriptor.from_json(entry) for entry in entries]
        chosen = next((item for item in found if wanted in ("", str(item.digest))), None)
        if chosen is None or not engine.content.has(chosen.digest):
            raise Invalid(f"invalid build cache: {wanted or 'a manifest'} is not in it")
        manifest = Manifest.from_bytes(engine.content.read(chosen.digest, MAX_MANIFEST))
        _keep(engine, [chosen.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)])
        return chosen.digest


def _keep(engine: Engine, blobs: list[Digest]) -> None:
    now = time.time_ns()
    leases = engine.database.leases
    with engine.database.transaction(durable=False):
        for lease in leases.all():
            if lease.until < now:
                leases.delete(str(lease.digest), durable=False)
        for digest in blobs:
            leases.put(BlobLease(digest, now + KEPT_SECONDS * 10**9), durable=False)
