"""A cache of another registry: what is asked for is fetched, checked, kept, and served from here ever after.

A digest never changes, so it is asked for once. A tag may move: upstream is asked again after `fresh` seconds; when
upstream cannot be reached, what is here is served. A blob goes to the client while it is stored; its last piece only
when the digest is right, so that a client never takes a wrong blob for a whole one.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Protocol

from wharf.errors import Invalid, Unavailable, WharfError
from wharf.registry.server.blobs import OCTETS
from wharf.registry.server.contracts import UploadFile
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import Relay, Response
from wharf.registry.server.manifest_check import check
from wharf.registry.server.manifests import store
from wharf.registry.server.state import Registry
from wharf.spec.digest import Digest

MAX_REMEMBERED = 100_000

log = logging.getLogger("wharf.registry")


class Download(Protocol):
    """A blob on its way here; `length` is None when upstream does not say it."""

    @property
    def length(self) -> int | None: ...

    def chunks(self) -> Iterator[memoryview]:
        """Pieces, each valid until the next; raises Unavailable when it is cut."""
        ...

    def close(self) -> None: ...


class Source(Protocol):
    """A repository upstream; what is not there is None, every other failure a WharfError."""

    def digest_of(self, tag: str) -> Digest | None: ...

    def manifest(self, reference: str) -> tuple[str, bytes] | None:
        """Media type and bytes."""
        ...

    def blob(self, digest: Digest) -> Download | None: ...


class Proxy:
    """The upstream of a registry; `open_source` gives the repository of a name."""

    def __init__(self, registry: Registry, open_source: Callable[[str], Source], fresh: float) -> None:
        self._registry = registry
        self._open = open_source
        self._fresh = fresh
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, str], float] = {}

    def manifest(self, repository: str, reference: Digest | str) -> None:
        """Fetch a manifest when it is missing or its tag may have moved; nothing when upstream has none."""
        metadata = self._registry.metadata
        if isinstance(reference, Digest):
            if metadata.manifests.find(repository, reference) is None:
                self._try(repository, lambda source: self._fetch(source, repository, str(reference), ""))
            return
        key, now = (repository, reference), time.monotonic()
        with self._lock:
            if now - self._asked.get(key, -self._fresh) < self._fresh:
                return
        here = metadata.tags.find(repository, reference)

        def refresh(source: Source) -> None:
            found = source.digest_of(reference) if here is not None else None
            if here is None or (found is not None and found != here):
                self._fetch(source, repository, reference, reference)

        if self._try(repository, refresh):
            with self._lock:
                if len(self._asked) >= MAX_REMEMBERED:
                    self._asked.clear()
                self._asked[key] = now

    def blob(self, repository: str, digest: Digest) -> Response | None:
        """The blob while it is fetched and kept, None when upstream has none."""
        try:
            reply = self._open(repository).blob(digest)
        except WharfError as error:
            raise RegistryError("UNAVAILABLE", f"upstream: {error.message}", status=502) from None
        if reply is None:
            return None
        length = reply.length
        if length is None:
            reply.close()
            raise RegistryError("UNAVAILABLE", "upstream does not say how large the blob is", status=502)
        headers = {"Docker-Content-Digest": str(digest), "ETag": f'"{digest}"', "Content-Type": OCTETS}
        return Response(200, Relay(_Fetching(self._registry, repository, digest, reply), length), headers)

    def _try(self, repository: str, work: Callable[[Source], None]) -> bool:
        """Whether upstream answered; when it did not, what is here has to do."""
        try:
            work(self._open(repository))
        except WharfError as error:
            log.warning("upstream, %s: %s", repository, error.message)
            return False
        return True

    def _fetch(self, source: Source, repository: str, reference: str, tag: str) -> None:
        found = source.manifest(reference)
        if found is None:
            return
        media_type, data = found
        if ":" in reference and str(Digest.of(data)) != reference:
            raise Invalid(f"wrong digest: expected {reference}, the content is {Digest.of(data)}")
        store(self._registry, repository, data, check(data, media_type), tag, partial=True)


class _Fetching:
    """The pieces of a blob on its way through; an iterator that is closed by whoever sends them."""

    def __init__(self, registry: Registry, repository: str, digest: Digest, reply: Download) -> None:
        self._registry = registry
        self._repository = repository
        self._digest = digest
        self._reply = reply
        self._name = ""
        self._file: UploadFile | None = None
        self._pieces = self._run()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def _run(self) -> Iterator[bytes]:
        self._name = str(uuid.uuid4())
        self._registry.metadata.uploads.start(self._repository, self._name)
        self._file = self._registry.blobs.upload(self._name, create=True)
        held = b""
        try:
            for piece in self._reply.chunks():
                self._file.append(piece)
                if held:
                    yield held
                held = bytes(piece)
        except Unavailable as error:
            log.error("upstream, %s, blob %s: %s", self._repository, self._digest, error.message)
            raise ConnectionError(error.message) from None
        self._keep(self._file)
        yield held

    def _keep(self, file: UploadFile) -> None:
        found = file.digest()
        if found != self._digest:
            log.error(
                "upstream, %s: wrong digest: expected %s, the content is %s", self._repository, self._digest, found
            )
            raise ConnectionError("upstream sent something else")
        file.sync()
        metadata = self._registry.metadata
        self._registry.leases.touch(self._repository, self._digest)
        with metadata.transaction():
            self._registry.blobs.publish(self._name, self._digest)
            metadata.links.add(self._repository, self._digest)
            metadata.uploads.end(self._name)
        self._name = ""

    def close(self) -> None:
        """Also when the client went away before the end, or never wanted a byte (HEAD)."""
        self._reply.close()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._name:
            self._registry.blobs.discard(self._name)
            self._registry.metadata.uploads.end(self._name)
            self._name = ""
