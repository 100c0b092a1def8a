"""Images out of an OCI image layout that a client sent as a named context (`--build-context NAME=oci-layout://…`).

Nothing of it is believed: each blob is what its digest says, or the build ends. Layers get into the store when a step
needs them, and stay as long as the cache or an image has them; the image gets no name here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from wharf.build.absent import AbsentImage
from wharf.build.options import BaseImage
from wharf.errors import Invalid, NotFound
from wharf.kernel import paths
from wharf.registry.client.values import Document
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE
from wharf.spec.platform import Platform
from wharf.transfer.pull import described
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

OCI_LAYOUT = "oci-layout://"


@dataclass(frozen=True, slots=True)
class Layout:
    """A directory that a client sent, and what in it is meant: a manifest, or an index."""

    directory: str
    digest: Digest

    def manifest(self, name: str) -> Document:
        """A manifest or an index by its digest, as a registry gives it."""
        digest = Digest.parse(name)
        return Document("", self.document(digest, MAX_MANIFEST_SIZE), digest)

    def document(self, digest: Digest, limit: int) -> bytes:
        """A small blob. Raises NotFound, Invalid for one that is too large or is not what its digest says."""
        with self.open(digest) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise Invalid(f"blob {digest} of an OCI layout exceeds the limit of {limit} bytes")
        if Digest.of(data) != digest:
            raise Invalid(f"blob {digest} of an OCI layout is damaged: its content is {Digest.of(data)}")
        return data

    def open(self, digest: Digest) -> BinaryIO:
        """A blob for reading; no symbolic link is followed."""
        top = os.open(self.directory, paths.DIRECTORY)
        try:
            fd = paths.open_beneath(top, f"blobs/sha256/{digest.hex}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            raise NotFound(f"blob {digest} is not in the OCI layout") from None
        finally:
            os.close(top)
        return open(fd, "rb")


def layout_image(engine: Engine, reference: str, layout: Layout, platform: Platform) -> tuple[BaseImage, AbsentImage]:
    """What the layout's image is; its layers come when they are needed. Raises NotFound, Invalid."""
    found = described(engine.images, layout, layout.manifest(str(layout.digest)), platform)

    def bring() -> None:
        content = engine.content
        for layer in found.manifest.layers:
            if not content.has(layer.digest):
                with layout.open(layer.digest) as file:
                    content.ingest(file, layer.digest, layer.size, durable=False)
        ensure_unpacked(engine.images, found.manifest.layers, found.image.diff_ids)

    base = BaseImage(reference, str(found.manifest.config.digest), found.image)
    return base, AbsentImage(found.manifest.layers, found.image.diff_ids, bring)
