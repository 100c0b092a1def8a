"""Put a manifest list under a name at a registry, with what its repository lacks from neighbours of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wharf.errors import Invalid, NotFound, WharfError
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.registry.client.repository import Repository
    from wharf.registry.client.upload import Uploads

MAX_SOURCES = 100


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """A list as its bytes; `sources` are repositories of the same registry that may have what it names."""

    name: str
    media_type: str
    document: bytes
    sources: Sequence[str] = ()
    insecure: bool = False
    """The registry may speak plain HTTP, or have a certificate of its own."""

    def repository(self, engine: Engine, reference: Reference, login: RegistryLogin) -> Repository:
        """One of its registry's repositories."""
        settings = engine.config.registries
        return engine.registries.repository(settings, reference, login, insecure=self.insecure)


def push_manifest(engine: Engine, wanted: ManifestPush, login: RegistryLogin) -> Digest:
    """The digest that the name has then. The list goes last.

    Raises Invalid for a document that is no list, NotFound for an entry that none of the sources has; Unauthorized,
    Denied, Internal with Docker's words.
    """
    from wharf.registry.client.errors import for_push  # the HTTP client comes with them
    from wharf.registry.client.upload import Uploads
    from wharf.registry.client.values import Document
    from wharf.transfer.closure import INDEXES, parts

    reference = Reference.parse(wanted.name).with_default_tag()
    entries, _ = parts(wanted.document)
    if wanted.media_type not in INDEXES or not entries or len(wanted.sources) > MAX_SOURCES:
        raise Invalid("invalid manifest list: an index with one manifest at least is needed")
    sources = [Reference.parse(f"{reference.domain}/{source}") for source in wanted.sources]
    uploads = Uploads(wanted.repository(engine, reference, login))
    try:
        for entry in entries:
            _bring([wanted.repository(engine, source, login) for source in (reference, *sources)], uploads, entry)
        digest = Digest.of(wanted.document)
        uploads.put_manifest(str(reference.tag or digest), Document(wanted.media_type, wanted.document, digest))
        return digest
    except WharfError as error:
        raise for_push(error) from None


def _bring(repositories: Sequence[Repository], uploads: Uploads, entry: Descriptor) -> None:
    """The manifest with its blobs, unless the first repository, where it shall go, has it."""
    from wharf.registry.client.errors import Refused
    from wharf.transfer.closure import parts

    target = repositories[0]
    for repository in repositories:
        try:
            document = repository.manifest(str(entry.digest))
        except Refused as error:
            if error.status != 404:
                raise
            continue
        if repository.path != target.path:
            for blob in parts(document.data)[1]:
                if uploads.size(blob.digest) is None and not uploads.mount(blob.digest, repository.path):
                    raise NotFound(f"{blob.digest} could not be taken over from {repository.path}")
            uploads.put_manifest(str(entry.digest), replace(document, media_type=entry.media_type))
        return
    raise NotFound(f"no such manifest: {entry.digest}")
