"""Layers into snapshots: one committed snapshot a layer, named by its chainID, applied by a worker."""

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.kernel import faults
from wharf.spec.digest import Digest, chain_ids
from wharf.spec.image import MEDIA_DOCKER_LAYER, MEDIA_LAYER, Descriptor, Manifest
from wharf.storage.compression import Readable, decompressed
from wharf.storage.content import ContentStore
from wharf.storage.layers.unpack import unpack as apply_layer
from wharf.transfer.store import EXTRACT_PREFIX, ImageStore

PLAIN_LAYERS = (MEDIA_LAYER, MEDIA_DOCKER_LAYER)
CHUNK = 1 << 20


def unpack(
    store: ImageStore,
    layers: Sequence[Descriptor],
    diff_ids: Sequence[Digest],
    on_layer: Callable[[Digest, int], None] = lambda diff_id, size: None,
) -> tuple[int, ...]:
    """Make the snapshots that are missing; the bytes of each unpacked layer, bottom first.

    Raises Invalid when a blob is missing, damaged, or is not what its diffID says; nothing half-made stays.
    """
    if len(layers) != len(diff_ids):
        raise Invalid(f"invalid manifest, layers length mismatch: expected {len(diff_ids)}, got {len(layers)}")
    sizes: list[int] = []
    parent: Digest | None = None
    chain = chain_ids(tuple(diff_ids))
    whole = bool(chain) and store.snapshots.exists(chain[-1])  # and so all below it
    for layer, diff_id, chain_id in zip(layers, diff_ids, chain, strict=True):
        if not store.content.has(layer.digest):
            raise Invalid(f"invalid image: layer {layer.digest} is not there")
        if layer.media_type in PLAIN_LAYERS and layer.digest != diff_id:
            raise Invalid(f"invalid layer {layer.digest}: its diffID is {diff_id} in the image config")
        if not whole and not store.snapshots.exists(chain_id):
            plain = layer.media_type in PLAIN_LAYERS
            with store.content.open(layer.digest) as blob:
                apply_blob(store, layer, blob, Place(diff_id, parent, chain_id), known=plain)
        else:
            check_blob(store, layer, diff_id)
        sizes.append(store.snapshots.usage(chain_id))
        on_layer(diff_id, layer.size)
        parent = chain_id
    return tuple(sizes)


def unpacked_sizes(store: ImageStore, layers: Sequence[Descriptor], diff_ids: Sequence[Digest]) -> tuple[int, ...]:
    """The bytes of each unpacked layer of a tree that was made or unpacked here: its blobs are not looked at again."""
    ensure_unpacked(store, layers, diff_ids)
    return tuple(store.snapshots.usage(chain_id) for chain_id in chain_ids(tuple(diff_ids)))


def ensure_unpacked(store: ImageStore, layers: Sequence[Descriptor], diff_ids: Sequence[Digest]) -> None:
    """Before a container is made: snapshots that an unclean boot took are made again from their blobs."""
    chain = chain_ids(tuple(diff_ids))
    if chain and not store.snapshots.exists(chain[-1]):  # it exists only where all below it do
        with store.operations.operation():
            unpack(store, layers, diff_ids)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer goes: what it is, what lies below it, and the name of both together."""

    diff_id: Digest
    parent: Digest | None
    chain_id: Digest


def apply_blob(store: ImageStore, layer: Descriptor, blob: Readable, place: Place, *, known: bool = False) -> None:
    """Make the snapshot of a layer from what `blob` gives; nothing stays when it is not what its diffID says.

    `known`: it is a file with the plain archive, whose digest was checked. Raises Invalid, and what `blob` raises.
    """
    key = EXTRACT_PREFIX + uuid.uuid4().hex
    store.snapshots.prepare(key, place.parent)
    faults.done("image:layer-prepared")
    try:
        apply_layer(
            store.worker,
            blob,
            store.snapshots.layers(key),
            host=store.host,
            expected=place.diff_id,
            known_diff_id=place.diff_id if known else None,
            name=str(layer.digest),
        )
        faults.done("image:layer-applied")
        store.snapshots.commit(key, place.chain_id)
        faults.done("image:layer-committed")
    except BaseException:
        store.snapshots.remove(key)
        raise


def check_blob(store: ImageStore, layer: Descriptor, diff_id: Digest) -> None:
    """The snapshot is there already, made from another blob: this one must still be what it says. Raises Invalid."""
    if layer.media_type not in PLAIN_LAYERS and _diff_id(store, layer) != diff_id:
        raise Invalid(f"invalid layer {layer.digest}: its diffID is not {diff_id}, as the image config has it")


def _diff_id(store: ImageStore, layer: Descriptor) -> Digest:
    return uncompressed(store.content, layer).digest


def uncompressed(content: ContentStore, layer: Descriptor) -> Descriptor:
    """The descriptor of a layer's plain tar; a compressed blob is read through for it. Raises Invalid."""
    if layer.media_type in PLAIN_LAYERS:
        return layer
    hasher, size = hashlib.sha256(), 0
    with content.open(layer.digest) as blob:
        reader = decompressed(blob)
        while data := reader.read(CHUNK):
            hasher.update(data)
            size += len(data)
    return Descriptor(MEDIA_LAYER, Digest(hasher.hexdigest()), size)


def put_manifest(store: ImageStore, manifest: Manifest) -> Descriptor:
    """Store a manifest made here; the same image gives the same bytes everywhere."""
    data = manifest.to_bytes()
    blob = store.content.put(data)
    return Descriptor(manifest.media_type, blob.digest, blob.size)
