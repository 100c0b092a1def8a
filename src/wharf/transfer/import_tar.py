"""Import: a tar of a root file system becomes an image of one layer."""

import uuid

from wharf.kernel import faults
from wharf.spec.image import Image
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.storage.compression import decompressed
from wharf.storage.content import Blob, BlobWriter, Readable
from wharf.storage.layers.unpack import unpack_plain
from wharf.transfer.build_image import EMPTY_LAYER, Base, add_image
from wharf.transfer.piping import source_to_job
from wharf.transfer.store import EXTRACT_PREFIX, ImageStore


def import_tar(store: ImageStore, source: Readable, image: Image, names: tuple[Reference, ...] = ()) -> ImageRecord:
    """Make an image of the (maybe compressed) tar, stored uncompressed. Raises Invalid for a damaged one."""
    with store.operations.operation():
        layer = _store_and_unpack(store, decompressed(source))
        return add_image(store, image, Base(), layer, names)


def _store_and_unpack(store: ImageStore, source: Readable) -> Blob:
    """Both at once: a worker writes the files while the same bytes are hashed and stored here."""
    key = EXTRACT_PREFIX + uuid.uuid4().hex
    store.snapshots.prepare(key, None)
    dirs = store.snapshots.layers(key)
    try:
        with store.content.writer() as writer:
            source_to_job(_Stored(source, writer), lambda pipe: unpack_plain(store.worker, pipe, dirs, host=store.host))
            layer = writer.commit(durable=False)
            faults.done("import:layer")
        if layer.digest == EMPTY_LAYER:
            store.snapshots.remove(key)
        else:
            store.snapshots.commit(key, layer.digest)  # the chainID of a first layer is its diffID
    except BaseException:
        store.snapshots.remove(key)
        raise
    faults.done("import:unpacked")
    return layer


class _Stored:
    """A source that stores what is read of it."""

    def __init__(self, source: Readable, writer: BlobWriter) -> None:
        self._source = source
        self._writer = writer

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._writer.write(data)
        return data
