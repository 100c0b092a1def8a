"""The images of an engine's data root as a registry's storage sees them: read only, beside the running daemon.

    <data-root>/wharf.db     names and images, read by queries alone
    <data-root>/content      blobs, opened one by one: a file that the daemon deletes meanwhile stays readable

A repository's name is the image's without its registry: `docker.io/library/busybox` is `busybox` and
`library/busybox`; `ghcr.io/team/app` is `ghcr.io/team/app` and `team/app`. Where two images claim a name, the one of
docker.io has it, then the first registry by alphabet.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO, NoReturn

from wharf.errors import Internal, Invalid, NotFound
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE, MEDIA_DOCKER_INDEX, MEDIA_INDEX, Descriptor, load_json
from wharf.spec.image_record import ImageRecord, NameRecord
from wharf.spec.reference import DEFAULT_DOMAIN, Reference
from wharf.spec.registry import ManifestRow
from wharf.storage.metadata.reading import DatabaseReader
from wharf.storage.metadata.repository import Repository

MAX_DOCUMENTS = 4096
"""Manifests and indexes whose parts are remembered: what a digest names never changes."""
MAX_DEPTH = 4
_INDEXES = (MEDIA_INDEX, MEDIA_DOCKER_INDEX)


class EngineBlobs:
    """The blobs of a data root; whatever would change them is refused."""

    def __init__(self, data_root: str) -> None:
        """Raises NotFound where there is no content store."""
        self._blobs = os.path.join(data_root, "content", "blobs", "sha256")
        if not os.path.isdir(self._blobs):
            raise NotFound(f"{data_root} is not the data root of an engine")

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading, unbuffered; raises NotFound."""
        try:
            return open(os.path.join(self._blobs, digest.hex), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None

    def has(self, digest: Digest) -> bool:
        """Whether it is there."""
        return os.path.exists(os.path.join(self._blobs, digest.hex))

    def digests(self) -> Iterator[Digest]:
        """Every blob, in no order."""
        return (Digest(name) for name in os.listdir(self._blobs))

    def put(self, data: bytes) -> Digest:
        """Refused."""
        _refuse()

    def upload(self, name: str, create: bool) -> NoReturn:
        """Refused."""
        _refuse()

    def publish(self, name: str, digest: Digest) -> None:
        """Refused."""
        _refuse()

    def discard(self, name: str) -> None:
        """Refused."""
        _refuse()

    def delete(self, digest: Digest) -> None:
        """Refused."""
        _refuse()


class EngineImages:
    """Names, manifests and links, computed from the engine's rows at each question: what the engine has now."""

    def __init__(self, data_root: str, blobs: EngineBlobs) -> None:
        self._reader = DatabaseReader(os.path.join(data_root, "wharf.db"))
        self._names: Repository[NameRecord] = Repository(self._reader, "names", NameRecord, lambda item: {})
        self._images: Repository[ImageRecord] = Repository(self._reader, "images", ImageRecord, lambda item: {})
        self._documents = _Documents(blobs)
        self._blobs = blobs

    def close(self) -> None:
        """Close the database."""
        self._reader.close()

    # One class has all the nouns: each is a handful of lines over the same rows.

    @property
    def repositories(self) -> "_Repositories":
        """Names of repositories."""
        return _Repositories(self)

    @property
    def tags(self) -> "_Tags":
        """Tags of repositories."""
        return _Tags(self)

    @property
    def manifests(self) -> "_Manifests":
        """Manifests of repositories."""
        return _Manifests(self)

    @property
    def links(self) -> "_Links":
        """Blobs of repositories."""
        return _Links(self)

    @property
    def accounts(self) -> "_Nobody":
        """There are no users but those of a htpasswd file."""
        return _Nobody()

    @property
    def uploads(self) -> Any:
        """Refused."""
        _refuse()

    def transaction(self) -> AbstractContextManager[None]:
        """Nothing is ever changed."""
        return nullcontext()

    def named(self) -> dict[str, list[NameRecord]]:
        """The names by repository."""
        found: dict[str, tuple[tuple[bool, str], list[NameRecord]]] = {}
        for record in self._names.all():
            rank = (record.reference.domain != DEFAULT_DOMAIN, record.reference.domain)
            for spelling in spellings(record.reference):
                if spelling not in found or rank < found[spelling][0]:
                    found[spelling] = (rank, [record])
                elif rank == found[spelling][0]:
                    found[spelling][1].append(record)
        return {name: records for name, (_, records) in found.items()}

    def of(self, repository: str) -> list[NameRecord]:
        """The names of one repository; empty when there is none."""
        return self.named().get(repository, [])

    def reachable(self, repository: str) -> tuple[dict[Digest, Descriptor], set[Digest]]:
        """Manifests, and blobs, that the names of the repository lead to and that are here."""
        manifests: dict[Digest, Descriptor] = {}
        blobs: set[Digest] = set()
        for record in self.of(repository):
            image = self._images.get(str(record.image_id))
            for descriptor in (record.target, *((image.manifest,) if image else ())):
                self._documents.walk(descriptor, manifests, blobs)
        return manifests, blobs


class _Documents:
    """What manifests and indexes name."""

    def __init__(self, blobs: EngineBlobs) -> None:
        self._blobs = blobs
        self._lock = threading.Lock()
        self._known: dict[Digest, tuple[tuple[Descriptor, ...], tuple[Digest, ...]]] = {}

    def walk(
        self, descriptor: Descriptor, manifests: dict[Digest, Descriptor], blobs: set[Digest], depth: int = 0
    ) -> None:
        """Add the document and what is beneath it."""
        if descriptor.digest in manifests or depth > MAX_DEPTH or not self._blobs.has(descriptor.digest):
            return
        manifests[descriptor.digest] = descriptor
        children, parts = self._parts(descriptor.digest)
        blobs.update(parts)
        for child in children:
            self.walk(child, manifests, blobs, depth + 1)

    def _parts(self, digest: Digest) -> tuple[tuple[Descriptor, ...], tuple[Digest, ...]]:
        with self._lock:
            if digest in self._known:
                return self._known[digest]
        try:
            with self._blobs.open(digest) as file:
                raw = load_json(file.read(MAX_MANIFEST_SIZE + 1), "manifest", MAX_MANIFEST_SIZE)
            children = tuple(Descriptor.from_json(item) for item in raw.get("manifests") or ())
            blobs = [item for item in (raw.get("config"), *(raw.get("layers") or ())) if item]
            found = children, tuple(Descriptor.from_json(item).digest for item in blobs)
        except (NotFound, Invalid, TypeError):
            return (), ()
        with self._lock:
            if len(self._known) >= MAX_DOCUMENTS:
                self._known.clear()
            self._known[digest] = found
        return found


class _Repositories:
    def __init__(self, images: EngineImages) -> None:
        self._images = images

    def exists(self, name: str) -> bool:
        return bool(self._images.of(name))

    def names(self, after: str, most: int) -> list[str]:
        return sorted(name for name in self._images.named() if name > after)[:most]

    def public(self, name: str) -> bool:
        return False


class _Tags:
    def __init__(self, images: EngineImages) -> None:
        self._images = images

    def find(self, repository: str, tag: str) -> Digest | None:
        return next(
            (record.target.digest for record in self._images.of(repository) if record.reference.tag == tag), None
        )

    def names(self, repository: str, after: str, most: int) -> list[str]:
        found = {record.reference.tag for record in self._images.of(repository) if record.reference.tag}
        return sorted(tag for tag in found if tag > after)[:most]

    def set(self, repository: str, tag: str, digest: Digest) -> None:
        _refuse()

    def remove(self, repository: str, tag: str) -> bool:
        _refuse()


class _Manifests:
    def __init__(self, images: EngineImages) -> None:
        self._images = images

    def find(self, repository: str, digest: Digest) -> ManifestRow | None:
        descriptor = self._images.reachable(repository)[0].get(digest)
        return ManifestRow(digest, descriptor.media_type, descriptor.size) if descriptor else None

    def referrers(self, repository: str, subject: Digest) -> Sequence[ManifestRow]:
        """None: only what a name leads to is served; the tag of older clients is one."""
        return ()

    def add(self, repository: str, row: ManifestRow, references: Iterable[Digest]) -> None:
        _refuse()

    def remove(self, repository: str, digest: Digest) -> bool:
        _refuse()


class _Links:
    def __init__(self, images: EngineImages) -> None:
        self._images = images

    def has(self, repository: str, digest: Digest) -> bool:
        manifests, blobs = self._images.reachable(repository)
        return digest in blobs or digest in manifests

    def referenced(self, repository: str, digest: Digest) -> bool:
        return self.has(repository, digest)

    def anywhere(self, digest: Digest) -> bool:
        return any(self.has(repository, digest) for repository in self._images.named())

    def unreferenced(self) -> list[tuple[str, Digest]]:
        return []

    def add(self, repository: str, digest: Digest) -> None:
        _refuse()

    def remove(self, repository: str, digest: Digest) -> bool:
        _refuse()


class _Nobody:
    def hash_of(self, user: str) -> str:
        return ""

    def grants(self, user: str) -> list[tuple[str, str]]:
        return []


def spellings(reference: Reference) -> tuple[str, ...]:
    """The repositories by which an image name is served."""
    path = reference.path
    if reference.domain == DEFAULT_DOMAIN:
        return tuple(dict.fromkeys((path, path.removeprefix("library/"))))
    return (path,) if ":" in reference.domain else (path, f"{reference.domain}/{path}")


def _refuse() -> NoReturn:
    raise Internal("the images of an engine are served read only")
