"""Import: a tar of a root file system becomes an image of one layer."""

from wharf.spec.image import Image
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.storage.compression import decompressed
from wharf.storage.content import Readable
from wharf.transfer.build_image import Base, add_image
from wharf.transfer.store import ImageStore


def import_tar(store: ImageStore, source: Readable, image: Image, names: tuple[Reference, ...] = ()) -> ImageRecord:
    """Make an image of the (maybe compressed) tar, stored uncompressed. Raises Invalid for a damaged one."""
    with store.operations.operation():
        layer = store.content.ingest(decompressed(source), durable=False)
        return add_image(store, image, Base(), layer, names)
