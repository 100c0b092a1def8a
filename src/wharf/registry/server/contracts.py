"""What the registry needs of its storage. A blob lives in the store; a *link* says that a repository has it.

    repository >- link -> blob            what a client may fetch there
    repository >- manifest -< reference   manifests are blobs too; a reference is what one names (blob, manifest)
    repository >- tag -> manifest
    upload                                bytes on their way to a blob

Everything that makes something visible, and everything that removes a file, happens inside `transaction()`, of which
there is one at a time: that is why collecting never meets a push halfway.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from wharf.spec.digest import Digest
from wharf.spec.registry import ManifestRow


class UploadFile(Protocol):
    """Bytes of an upload, hashed as they come."""

    size: int

    def append(self, piece: memoryview) -> None:
        """Raises Unavailable when the disk is full."""
        ...

    def digest(self) -> Digest:
        """Of everything so far."""
        ...

    def sync(self) -> None:
        """Make the bytes durable."""
        ...

    def close(self) -> None: ...


class Blobs(Protocol):
    """Files named by digest, and uploads named by id."""

    def open(self, digest: Digest) -> BinaryIO:
        """Raises NotFound."""
        ...

    def has(self, digest: Digest) -> bool: ...

    def put(self, data: bytes) -> Digest: ...

    def upload(self, name: str, create: bool) -> UploadFile:
        """Raises NotFound."""
        ...

    def publish(self, name: str, digest: Digest) -> None:
        """An upload whose digest was checked becomes a blob."""
        ...

    def discard(self, name: str) -> None:
        """An upload goes away; a missing one is fine."""
        ...

    def delete(self, digest: Digest) -> None: ...

    def digests(self) -> Iterator[Digest]: ...


class Links(Protocol):
    """Which blobs a repository has."""

    def has(self, repository: str, digest: Digest) -> bool: ...

    def add(self, repository: str, digest: Digest) -> None:
        """Makes the repository when it is new."""
        ...

    def remove(self, repository: str, digest: Digest) -> bool: ...

    def anywhere(self, digest: Digest) -> bool:
        """Whether any repository has the blob, as a blob or as a manifest."""
        ...

    def unreferenced(self) -> list[tuple[str, Digest]]:
        """Links that no manifest of their repository names."""
        ...

    def referenced(self, repository: str, digest: Digest) -> bool:
        """Whether a manifest of the repository names it."""
        ...


class Manifests(Protocol):
    """Manifests of repositories."""

    def find(self, repository: str, digest: Digest) -> ManifestRow | None: ...

    def add(self, repository: str, row: ManifestRow, references: Iterable[Digest]) -> None: ...

    def remove(self, repository: str, digest: Digest) -> bool:
        """Its tags go too."""
        ...

    def referrers(self, repository: str, subject: Digest) -> Sequence[ManifestRow]: ...


class Tags(Protocol):
    """Names of manifests; lists are in lexical order of bytes."""

    def find(self, repository: str, tag: str) -> Digest | None: ...

    def set(self, repository: str, tag: str, digest: Digest) -> None: ...

    def remove(self, repository: str, tag: str) -> bool: ...

    def names(self, repository: str, after: str, most: int) -> list[str]: ...


class Repositories(Protocol):
    """Names of repositories, and whether strangers may pull."""

    def exists(self, name: str) -> bool: ...

    def names(self, after: str, most: int) -> list[str]: ...

    def public(self, name: str) -> bool: ...


class Uploads(Protocol):
    """Which uploads there are."""

    def start(self, repository: str, name: str) -> None: ...

    def repository(self, name: str) -> str | None: ...

    def end(self, name: str) -> None: ...

    def older_than(self, seconds: float) -> list[str]: ...


class Accounts(Protocol):
    """Users with their bcrypt hashes, and what they may do where."""

    def hash_of(self, user: str) -> str: ...

    def grants(self, user: str) -> list[tuple[str, str]]:
        """Pairs of pattern and right."""
        ...


class Metadata(Protocol):
    """All that the registry remembers."""

    @property
    def links(self) -> Links: ...
    @property
    def manifests(self) -> Manifests: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def repositories(self) -> Repositories: ...
    @property
    def uploads(self) -> Uploads: ...
    @property
    def accounts(self) -> Accounts: ...

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, one at a time, durable when it ends."""
        ...
