"""Layers of images made here, compressed for a registry or an archive; what they became is remembered."""

from wharf.registry.client.upload import Uploads
from wharf.spec.image import MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP, MEDIA_LAYER_GZIP, Descriptor
from wharf.spec.image_record import CompressedLayer
from wharf.transfer.compress import ENCODER, CompressedSource, StoredSource
from wharf.transfer.store import ImageStore
from wharf.transfer.unpack import PLAIN_LAYERS


def send_layer(store: ImageStore, uploads: Uploads, layer: Descriptor) -> Descriptor:
    """Bring a layer to a registry unless it is there; the descriptor of what is there. Raises WharfError."""
    if layer.foreign:
        return layer
    known = known_form(store, layer)
    if known is not None and uploads.size(known.digest) is not None:
        return known
    if layer.media_type not in PLAIN_LAYERS:
        uploads.send(StoredSource(store.content, layer))
        return layer
    source = CompressedSource(store.content, layer, lambda size: None)
    uploads.send(source)
    return _remembered(store, layer, source)


def store_compressed(store: ImageStore, layer: Descriptor) -> Descriptor:
    """The compressed form of a layer in the content store, where no row names it: within an operation only."""
    known = known_form(store, layer)
    if known is not None and store.content.has(known.digest):
        return known
    source = CompressedSource(store.content, layer, lambda size: None)
    store.content.ingest(source.chunks(0), durable=False)
    return _remembered(store, layer, source)


def known_form(store: ImageStore, layer: Descriptor) -> Descriptor | None:
    """What a layer is when it is compressed: itself, or what this encoder made of it before."""
    if layer.media_type not in PLAIN_LAYERS:
        return layer
    remembered = store.database.compressed.get(str(layer.digest))
    return remembered.blob if remembered and remembered.encoder == ENCODER else None


def _remembered(store: ImageStore, layer: Descriptor, source: CompressedSource) -> Descriptor:
    gzip = MEDIA_DOCKER_LAYER_GZIP if layer.media_type == MEDIA_DOCKER_LAYER else MEDIA_LAYER_GZIP
    made = Descriptor(gzip, source.digest(), source.length)
    store.database.compressed.put(CompressedLayer(layer.digest, made, ENCODER), durable=False)
    return made
