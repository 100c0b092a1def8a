"""An image as the engine knows it: its config, the manifest it came with, and the names that point to it."""

from dataclasses import dataclass, field

from wharf.spec.digest import Digest, chain_ids
from wharf.spec.image import Descriptor, Image
from wharf.spec.reference import Reference


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image. `id` is its config's digest; `created_at` and `last_tagged` are nanoseconds since 1970.

    `size` is the sum of the bytes of its unpacked layers; `layer_sizes` bottom first. `layers` are the blobs, as
    they came (compressed or not), bottom first.
    """

    id: Digest
    image: Image
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    layer_sizes: tuple[int, ...] = ()
    added_at: int = 0
    last_tagged: int = 0
    parent: Digest | None = None
    names: tuple[Reference, ...] = field(default=())

    @property
    def size(self) -> int:
        """Bytes of all unpacked layers."""
        return sum(self.layer_sizes)

    @property
    def chain(self) -> tuple[Digest, ...]:
        """ChainIDs of the layers, bottom first."""
        return chain_ids(self.image.diff_ids)

    @property
    def chain_id(self) -> Digest | None:
        """The top snapshot; None for an image without layers."""
        chain = self.chain
        return chain[-1] if chain else None

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that must stay while the image does."""
        return (self.manifest, self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class NameRecord:
    """A name: the image it stands for on this platform, and the descriptor it pointed to where it came from."""

    reference: Reference
    image_id: Digest
    target: Descriptor


@dataclass(frozen=True, slots=True)
class BlobLease:
    """A blob that no image names yet and that stays until `until` (nanoseconds since 1970): a pull needs it."""

    digest: Digest
    until: int


@dataclass(frozen=True, slots=True)
class Referrer:
    """A document about another; `tag` where it is found by one (cosign's) instead of by its subject."""

    document: Descriptor
    tag: str = ""


@dataclass(frozen=True, slots=True)
class ReferrersRecord:
    """What is kept beside a manifest or index, for as long as that is kept."""

    subject: Digest
    documents: tuple[Referrer, ...]


@dataclass(frozen=True, slots=True)
class CompressedLayer:
    """What a plain layer became when it was compressed for a push; `encoder` names the program and its settings."""

    plain: Digest
    blob: Descriptor
    encoder: str
