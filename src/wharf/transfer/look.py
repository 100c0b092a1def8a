"""What a name at a registry stands for: its manifest and its configuration, without a layer."""

from dataclasses import dataclass

from wharf.errors import WharfError
from wharf.registry.client.errors import for_pull
from wharf.registry.client.repository import Repository
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor, Image
from wharf.spec.reference import Reference
from wharf.transfer.pull import PullOptions, described
from wharf.transfer.signatures import admit, refuse
from wharf.transfer.store import ImageStore


@dataclass(frozen=True, slots=True)
class Looked:
    """`digest` is what the name stands for there (a manifest or an index), `image_id` that of the configuration."""

    reference: Reference
    digest: Digest
    image_id: Digest
    image: Image
    layers: tuple[Descriptor, ...]


def look(store: ImageStore, repository: Repository, reference: Reference, options: PullOptions) -> Looked:
    """Look one name (with a tag or a digest) up, as a pull would take it. Raises as `pull`."""
    with store.operations.operation():
        try:
            refuse(reference, options.signatures)
            top = repository.manifest(str(reference.digest) if reference.digest else str(reference.tag))
            admit(repository, reference, top.digest, options.signatures)
            found = described(store, repository, top, options.platform or store.platform)
        except WharfError as error:
            translated = for_pull(error, reference)
            if translated is error:
                raise
            raise translated from None
    return Looked(reference, top.digest, found.manifest.config.digest, found.image, found.manifest.layers)
