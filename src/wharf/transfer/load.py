"""Load: an archive of images becomes blobs, snapshots, records and names; all of an image or nothing of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from wharf.errors import Invalid
from wharf.kernel import faults
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_CONFIG_SIZE, Descriptor, Image
from wharf.spec.image_record import ImageRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.storage.compression import Readable, decompressed
from wharf.transfer.archive_files import read_archive
from wharf.transfer.archive_layout import ArchivedImage, read_layout
from wharf.transfer.closure import INDEXES, closure
from wharf.transfer.store import ImageStore
from wharf.transfer.unpack import put_manifest, unpack

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image that was loaded, and the names it got with the archive."""

    id: Digest
    names: tuple[Reference, ...]


def load(
    store: ImageStore,
    source: Readable,
    progress: Progress,
    quiet: bool = True,
    platform: Platform | None = None,
) -> list[Loaded]:
    """Load every image of the archive that `source` streams, in its order; `progress` gets Docker's JSON messages.

    `platform`: of an index its image, of other images those that are of it. Without one, an index all of which is in
    the archive is kept whole, attestations and other platforms too.

    Raises Invalid for a damaged archive; images before the damaged one stay, as with Docker.
    """
    loaded = []
    with store.operations.operation():
        files = read_archive(decompressed(source), store.content)
        faults.done("load:archive")
        for archived in read_layout(files, store.content, platform or store.platform):
            image = Image.from_bytes(_config(store, archived.manifest.config))
            if platform is None or platform.matches(image.platform):
                item = replace(archived, target=None) if platform else archived
                loaded.append(_load_one(store, item, image, progress, quiet))
        store.operations.request_sweep()  # an archive may hold what none of its images needs
    return loaded


def _load_one(store: ImageStore, archived: ArchivedImage, image: Image, progress: Progress, quiet: bool) -> Loaded:
    manifest = archived.manifest
    if image.platform.os != store.platform.os:
        raise Invalid(f"cannot load {image.platform.os} image on {store.platform.os}")
    sizes = unpack(store, manifest.layers, image.diff_ids, _teller(progress, quiet))
    record = ImageRecord(
        id=manifest.config.digest,
        image=image,
        manifest=archived.received or put_manifest(store, manifest),
        config=manifest.config,
        layers=manifest.layers,
        layer_sizes=sizes,
        added_at=time.time_ns(),
    )
    for name in archived.names:
        previous = store.named(name)
        if previous and previous.id != record.id:
            progress(
                {
                    "stream": f"The image {name.familiar()} already exists, renaming the old one with ID "
                    f"{previous.id} to empty string\n"
                }
            )
    faults.done("load:manifest")
    store.content.sync()
    faults.done("load:synced")
    target = archived.target
    whole = target is not None and target.media_type in INDEXES and not closure(store.content, target).missing
    store.add(record, archived.names, target, whole=whole)
    for name in archived.names:
        progress({"stream": f"Loaded image: {name.familiar()}\n"})
    if not archived.names:
        progress({"stream": f"Loaded image ID: {record.id}\n"})
    return Loaded(record.id, archived.names)


def _config(store: ImageStore, descriptor: Descriptor) -> bytes:
    if not store.content.has(descriptor.digest):
        raise Invalid(f"invalid image archive: it names {descriptor.digest}, which it does not hold")
    return store.content.read(descriptor.digest, MAX_CONFIG_SIZE)


def _teller(progress: Progress, quiet: bool) -> Callable[[Digest, int], None]:
    def tell(diff_id: Digest, size: int) -> None:
        if not quiet:
            detail = {"current": size, "total": size}
            progress({"status": "Loading layer", "progressDetail": detail, "id": diff_id.hex[:12]})

    return tell
