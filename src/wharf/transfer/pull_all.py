"""The rest of an index: platforms and attestations that a pull left at the registry, kept as they are, not unpacked."""

from concurrent.futures import ThreadPoolExecutor

from wharf.errors import Invalid
from wharf.registry.client.repository import Repository
from wharf.spec.image import Descriptor
from wharf.storage.limits import MAX_BLOB_SIZE
from wharf.transfer.closure import DOCUMENTS, closure
from wharf.transfer.download import Download
from wharf.transfer.leases import keep
from wharf.transfer.pull_progress import Emit, LayerLine
from wharf.transfer.store import ImageStore


def pull_rest(store: ImageStore, repository: Repository, top: Descriptor, emit: Emit, at_once: int) -> None:
    """Bring all that `top` leads to, whose own document is here. Raises as a pull; Invalid for what is no index."""
    while documents := [item for item in closure(store.content, top).missing if item.media_type in DOCUMENTS]:
        keep(store, documents)
        for item in documents:
            store.content.put(repository.manifest(str(item.digest)).data, durable=False)
    blobs = closure(store.content, top).missing
    for blob in blobs:
        if blob.size > MAX_BLOB_SIZE:
            raise Invalid(f"invalid blob {blob.digest}: {blob.size} bytes exceed the limit of {MAX_BLOB_SIZE}")
    keep(store, blobs)

    def fetch(blob: Descriptor) -> None:
        line = LayerLine(emit, blob.digest, blob.size)
        line.say("Pulling fs layer")
        download = Download(store.content, blob, store.locks)
        try:
            download.run(repository, lambda size: line.count("Downloading", size), line.say)
        finally:
            download.close()

    with ThreadPoolExecutor(max(at_once, 1), thread_name_prefix="pull") as pool:
        tasks = [pool.submit(fetch, blob) for blob in blobs]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            repository.cancel()
            pool.shutdown(cancel_futures=True)
            raise
