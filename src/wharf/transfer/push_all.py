"""A whole index on its way out: blobs, then manifests by their digests, the index under the name last: as they came."""

from concurrent.futures import ThreadPoolExecutor

from wharf.registry.client.repository import Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import MAX_MANIFEST, Document
from wharf.spec.image import Descriptor
from wharf.transfer.closure import Closure
from wharf.transfer.compress import StoredSource
from wharf.transfer.pull_progress import Emit, LayerLine
from wharf.transfer.store import ImageStore

FOREIGN = "Skipped foreign layer"
"""Moby's word for a layer that the manifest says is to be had elsewhere."""


def push_index(store: ImageStore, repository: Repository, found: Closure, tag: str, emit: Emit, at_once: int) -> str:
    """Send what the registry has not; the subject that it lists the top document for, or "". Raises as a push."""
    uploads = Uploads(repository)

    def send(blob: Descriptor) -> None:
        line = LayerLine(emit, blob.digest, blob.size)
        if blob.foreign:
            line.say(FOREIGN)
            return
        if uploads.size(blob.digest) is not None:
            line.say("Layer already exists")
            return
        uploads.send(StoredSource(store.content, blob, lambda size: line.count("Pushing", size)))
        line.say("Pushed")

    with ThreadPoolExecutor(max(at_once, 1), thread_name_prefix="push") as pool:
        tasks = [pool.submit(send, blob) for blob in found.blobs.values()]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            repository.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    *inner, top = found.documents
    for item in inner:
        uploads.put_manifest(str(item.digest), _document(store, item))
    return uploads.put_manifest(tag, _document(store, top))


def _document(store: ImageStore, item: Descriptor) -> Document:
    return Document(item.media_type, store.content.read(item.digest, MAX_MANIFEST), item.digest)
