"""Garbage collection beside running pushes.

    1. uploads that were given up                      (older than `abandoned`)
    2. links that no manifest names and no lease holds (a push that never came to its manifest, a deleted manifest)
    3. files that no repository has

Each removal is a transaction of its own, and looks again inside it. A push makes its links and manifests in
transactions too, so either it comes first and the blob stays, or it comes later, finds the blob gone, and the client
is told. Between a client's question and its manifest the lease protects the blob (`leases.py`).
"""

import logging
import threading
from dataclasses import dataclass

from wharf.registry.server.state import Registry
from wharf.registry.server.uploads import Uploading
from wharf.spec.digest import Digest

ABANDONED_SECONDS = 86400.0

log = logging.getLogger("wharf.registry")


@dataclass(frozen=True, slots=True)
class Collected:
    """How much went away."""

    uploads: int = 0
    links: int = 0
    blobs: int = 0


def collect(registry: Registry, uploading: Uploading, abandoned: float = ABANDONED_SECONDS) -> Collected:
    """One pass; safe at any time, beside any request."""
    uploads = uploading.expire(abandoned)
    links = sum(_unlink(registry, repository, digest) for repository, digest in registry.metadata.links.unreferenced())
    blobs = sum(_delete(registry, digest) for digest in list(registry.blobs.digests()))
    return Collected(uploads, links, blobs)


def _unlink(registry: Registry, repository: str, digest: Digest) -> bool:
    with registry.leases.unheld(repository, digest) as free:
        if not free:
            return False
        with registry.metadata.transaction():
            if registry.metadata.links.referenced(repository, digest):
                return False
            return registry.metadata.links.remove(repository, digest)


def _delete(registry: Registry, digest: Digest) -> bool:
    if registry.metadata.links.anywhere(digest):
        return False
    with registry.metadata.transaction():
        if registry.metadata.links.anywhere(digest):
            return False
        registry.blobs.delete(digest)
    return True


class Collector:
    """Collects every `interval` seconds in a thread of its own until `stop`."""

    def __init__(self, registry: Registry, uploading: Uploading, interval: float, abandoned: float) -> None:
        self._registry = registry
        self._uploading = uploading
        self._interval = interval
        self._abandoned = abandoned
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        """Begin; an interval of 0 never collects."""
        if self._interval > 0:
            self._thread.start()

    def stop(self) -> None:
        """End after the pass at hand."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval):
            try:
                gone = collect(self._registry, self._uploading, self._abandoned)
            except Exception:
                log.exception("collecting failed")
                continue
            if gone != Collected():
                log.info("collected %d uploads, %d links, %d blobs", gone.uploads, gone.links, gone.blobs)
