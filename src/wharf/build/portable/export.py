"""A build's cache on its way out: which steps and mounts, and their blobs to a registry or into the content store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.build.cache import mount_name
from wharf.build.graph import Exec, MountKind, Vertex
from wharf.build.portable.document import CacheDocument, PortableMount, PortableStep
from wharf.build.solver.solver import Solved
from wharf.build.tree import Tree
from wharf.registry.client.repository import Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import Document
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_LAYER, Descriptor
from wharf.spec.reference import Reference
from wharf.storage.layers.pack import pack
from wharf.storage.snapshots import LayerDirs
from wharf.transfer.compress import StoredSource
from wharf.transfer.compressed import send_layer, store_compressed

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Steps = Sequence[tuple[Vertex, Solved[Tree]]]


@dataclass(frozen=True, slots=True)
class CacheContent:
    """What is exported, with the blobs as they are stored here."""

    steps: tuple[PortableStep, ...]
    mounts: tuple[PortableMount, ...]
    blobs: dict[Digest, Descriptor]


def steps_of(steps: Steps, target: Sequence[Tree], *, everything: bool) -> list[tuple[PortableStep, Tree]]:
    """The results to keep: of every step, or of those only that the result is made of layer by layer."""
    found = []
    for vertex, solved in steps:
        if not solved.kept:
            continue
        tree = solved.result
        inside = any(tree.diff_ids == top.diff_ids[: len(tree.diff_ids)] for top in target)
        if everything or inside:
            found.append((PortableStep(solved.key.hex, vertex.title, tree.diff_ids), tree))
    return found


def collect(engine: Engine, steps: Steps, target: Sequence[Tree], mounts: str, *, everything: bool) -> CacheContent:
    """What `mode=max` (`everything`) or `mode=min` exports; cache mounts are packed, from the directory `mounts`, or
    left out where that is empty."""
    kept = steps_of(steps, target, everything=everything)
    blobs = {diff_id: layer for _, tree in kept for layer, diff_id in zip(tree.layers, tree.diff_ids, strict=True)}
    found: dict[str, PortableMount] = {}
    for vertex, _ in steps if mounts else ():
        for name in _mounts_of(vertex):
            path = os.path.join(mounts, name)
            if name not in found and os.path.isdir(path):
                blob = _packed(engine, path)
                blobs[blob.digest] = blob
                found[name] = PortableMount(name, vertex.title, blob.digest)
    return CacheContent(tuple(step for step, _ in kept), tuple(found.values()), blobs)


def _mounts_of(vertex: Vertex) -> list[str]:
    if not isinstance(vertex.op, Exec):
        return []
    caches = [mount for mount in vertex.op.mounts if mount.kind is MountKind.CACHE]
    return [mount_name(mount.id) + ("-0" if mount.sharing == "private" else "") for mount in caches]


def _packed(engine: Engine, path: str) -> Descriptor:
    with engine.content.writer() as writer:
        pack(engine.worker, LayerDirs(path, ()), writer, host=engine.host)
        blob = writer.commit(durable=False)
    return Descriptor(MEDIA_LAYER, blob.digest, blob.size)


def to_registry(engine: Engine, content: CacheContent, repository: Repository, reference: Reference) -> Digest:
    """Blobs that the registry has not, then the manifest under the name's tag. Raises WharfError."""
    uploads = Uploads(repository)
    sent = {diff_id: send_layer(engine.images, uploads, layer) for diff_id, layer in content.blobs.items()}
    config, manifest = CacheDocument(content.steps, content.mounts, sent).encode()
    stored = engine.content.put(config, durable=False)
    if uploads.size(stored.digest) is None:
        uploads.send(StoredSource(engine.content, manifest.config))
    data = manifest.to_bytes()
    document = Document(manifest.media_type, data, Digest.of(data))
    uploads.put_manifest(str(reference.tag or "latest"), document)
    return document.digest


def to_content(engine: Engine, content: CacheContent) -> tuple[Descriptor, list[Descriptor]]:
    """The manifest and every blob in the content store, compressed; unnamed: they go with the operation."""
    stored = {diff_id: store_compressed(engine.images, layer) for diff_id, layer in content.blobs.items()}
    config, manifest = CacheDocument(content.steps, content.mounts, stored).encode()
    engine.content.put(config, durable=False)
    data = manifest.to_bytes()
    blob = engine.content.put(data, durable=False)
    return Descriptor(manifest.media_type, blob.digest, blob.size), [manifest.config, *stored.values()]
