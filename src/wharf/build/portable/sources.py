"""Where a cache comes from: a registry, or blobs that a client sent before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from wharf.build.portable.document import MEDIA_CACHE_CONFIG, CacheDocument, decode, decode_inline
from wharf.errors import Invalid, NotFound, WharfError
from wharf.registry.client.repository import INDEX_TYPES, Repository
from wharf.registry.client.values import MAX_MANIFEST, Document
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_CONFIG_SIZE, Descriptor, Image, Manifest
from wharf.spec.image_record import ImageRecord
from wharf.spec.reference import Reference
from wharf.storage.content import ContentStore
from wharf.transfer.choose import manifest_for

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


class CacheSource(Protocol):
    """A cache elsewhere."""

    def document(self) -> CacheDocument:
        """What it holds. Raises WharfError where it cannot be read."""

    def fetch(self, blob: Descriptor) -> None:
        """Bring one of its blobs into the content store. Raises WharfError."""


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """`type=registry,ref=…`: a cache manifest, or an image with its own cache in it."""

    engine: Engine
    repository: Repository
    reference: Reference

    def document(self) -> CacheDocument:
        """The cache behind the name."""
        name = str(self.reference.digest or self.reference.tag)
        found = self.repository.manifest(name)
        if found.media_type in INDEX_TYPES:
            found = manifest_for(found, self.engine.images.platform, lambda digest: self._manifest(digest))
        manifest = Manifest.from_bytes(found.data)
        config = self.repository.document(manifest.config.digest, max(MAX_CONFIG_SIZE, MAX_MANIFEST))
        return _decoded(manifest, config)

    def _manifest(self, digest: Digest) -> Document:
        return self.repository.manifest(str(digest))

    def fetch(self, blob: Descriptor) -> None:
        """From the registry, its digest checked."""
        content = self.engine.content
        with self.engine.images.locks.held(blob.digest):
            if content.has(blob.digest):
                return
            with content.writer() as writer:
                self.repository.download(blob, writer.write)
                writer.commit(blob.digest, durable=False)


@dataclass(frozen=True, slots=True)
class ContentSource:
    """A cache that a client has sent: its manifest and blobs are in the content store."""

    content: ContentStore
    manifest: Digest

    def document(self) -> CacheDocument:
        """The cache behind the digest."""
        if not self.content.has(self.manifest):
            raise NotFound(f"no build cache {self.manifest} was sent")
        manifest = Manifest.from_bytes(self.content.read(self.manifest, MAX_MANIFEST))
        return _decoded(manifest, self.content.read(manifest.config.digest, MAX_CONFIG_SIZE))

    def fetch(self, blob: Descriptor) -> None:
        """It is here, or nowhere."""
        if not self.content.has(blob.digest):
            raise NotFound(f"the build cache lacks {blob.digest}")


@dataclass(frozen=True, slots=True)
class ImageSource:
    """The cache that an image of the engine carries: `docker build --cache-from` of what was pulled."""

    content: ContentStore
    image: ImageRecord

    def document(self) -> CacheDocument:
        """The image's own records, or none."""
        return decode_inline(Manifest(self.image.config, self.image.layers), self.image.image)

    def fetch(self, blob: Descriptor) -> None:
        """It is here."""
        if not self.content.has(blob.digest):
            raise NotFound(f"the image lacks {blob.digest}")


def _decoded(manifest: Manifest, config: bytes) -> CacheDocument:
    if manifest.config.media_type == MEDIA_CACHE_CONFIG:
        return decode(manifest, config)
    try:
        return decode_inline(manifest, Image.from_bytes(config))
    except WharfError as error:
        raise Invalid(f"neither a build cache nor an image: {error.message}") from None
