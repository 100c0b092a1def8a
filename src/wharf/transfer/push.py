"""Push: an image's blobs that the registry has not, then its manifest, last of all.

What came from a registry or an archive goes out as it came, byte for byte. The layers of an image that was made here
are plain archives: they are compressed on their way, and what they became is remembered, so that the next push of
them asks for them first, and sends an equal manifest.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from wharf.errors import NotFound, WharfError
from wharf.kernel import faults
from wharf.registry.client.errors import for_push
from wharf.registry.client.repository import INDEX_TYPES, Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import MAX_MANIFEST, Document
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP, MEDIA_LAYER_GZIP, Descriptor, Manifest
from wharf.spec.image_record import CompressedLayer, ImageRecord, NameRecord
from wharf.spec.reference import Reference
from wharf.transfer.closure import closure
from wharf.transfer.compress import ENCODER, CompressedSource, StoredSource
from wharf.transfer.pull_progress import Emit, LayerLine
from wharf.transfer.push_all import FOREIGN, push_index
from wharf.transfer.referrers import push_referrers
from wharf.transfer.store import ImageStore
from wharf.transfer.unpack import PLAIN_LAYERS


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the registry has now under the name."""

    digest: Digest
    size: int


def push(
    store: ImageStore,
    repository: Repository,
    reference: Reference,
    emit: Emit,
    at_once: int = 5,
    *,
    chosen: ImageRecord | None = None,
    referrers: bool = False,
) -> Pushed:
    """Push what a name with a tag stands for, and note its digest here: the index, where all of it was kept, or of it
    the one platform `chosen`. `referrers`: what is kept beside it goes along.

    `emit` gets Docker's messages; what it raises ends the push.
    Raises NotFound when the name is not here; Unauthorized, Denied, Internal with Docker's words.
    """
    with store.operations.operation():
        try:
            pushed = _Push(store, repository, reference, emit).choose(chosen, at_once)
            if referrers and store.content.has(pushed.digest):
                push_referrers(store, repository, pushed.digest, emit, at_once)
            return pushed
        except WharfError as error:
            translated = for_push(error)
            if translated is error:
                raise
            raise translated from None


class _Push:
    def __init__(self, store: ImageStore, repository: Repository, reference: Reference, emit: Emit) -> None:
        self._store, self._reference, self._emit = store, reference, emit
        self._repository = repository
        self._uploads = Uploads(repository)
        found = store.named(reference)
        name = store.database.names.get(reference.canonical())
        if found is None or name is None:
            raise NotFound(f"tag does not exist: {reference.familiar()}")
        self.image: ImageRecord = found
        self._name = name
        self._manifest, self._document = self._chosen(name)
        self._made_here = self._document.data == replace(self._manifest, annotations={}).to_bytes()

    def _chosen(self, name: NameRecord) -> tuple[Manifest, Document]:
        """The manifest that the name was pulled with if everything of it is here, else the image's own."""
        content = self._store.content
        for target in (name.target, self.image.manifest):
            if target.media_type in INDEX_TYPES or not content.has(target.digest):
                continue
            document = Document(target.media_type, content.read(target.digest, MAX_MANIFEST), target.digest)
            manifest = Manifest.from_bytes(document.data)
            if all(content.has(layer.digest) for layer in manifest.layers):
                break
        return manifest, document

    def choose(self, chosen: ImageRecord | None, at_once: int) -> Pushed:
        """Push the one platform, else all that was kept, else the image itself."""
        if chosen is not None and chosen.id != self.image.id:
            return self.one(chosen, at_once)
        return (self.whole(at_once) if chosen is None else None) or self.run(at_once)

    def whole(self, at_once: int) -> Pushed | None:
        """Push the index that the name was pulled with, where all of it was kept; None where it was not."""
        if not self._store.is_whole(self._name.target.digest):
            return None
        return self._as_it_came(self._name.target, at_once)

    def one(self, chosen: ImageRecord, at_once: int) -> Pushed:
        """Push another platform's manifest of an index that was kept. Raises NotFound when parts of it have gone."""
        pushed = self._as_it_came(chosen.manifest, at_once)
        if pushed is None:
            raise NotFound(f"manifest {chosen.manifest.digest} is not whole any more")
        return pushed

    def _as_it_came(self, target: Descriptor, at_once: int) -> Pushed | None:
        found = closure(self._store.content, target)
        if found.missing:
            return None
        top, tag = found.documents[-1], str(self._reference.tag)
        push_index(self._store, self._repository, found, tag, self._emit, at_once)
        return self._done(top.digest, top.size, top)

    def run(self, at_once: int) -> Pushed:
        pairs = list(zip(self._manifest.layers, self.image.image.diff_ids, strict=True))
        lines = [LayerLine(self._emit, diff_id, layer.size) for layer, diff_id in pairs]
        for number in reversed(range(len(pairs))):  # the top first, as Docker lists them
            lines[number].say("Preparing")
        first = {layer.digest: number for number, (layer, _) in reversed(list(enumerate(pairs)))}
        with ThreadPoolExecutor(max(at_once, 1), thread_name_prefix="push") as pool:
            tasks = {
                digest: pool.submit(self._layer, pairs[number][0], lines[number]) for digest, number in first.items()
            }
            try:
                sent = {digest: task.result() for digest, task in tasks.items()}
            except BaseException:
                self._repository.cancel()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        layers = tuple(sent[layer.digest] for layer in self._manifest.layers)
        self._config()
        document = self._document
        if layers != self._manifest.layers:
            data = replace(self._manifest, layers=layers).to_bytes()
            document = Document(self._manifest.media_type, data, Digest.of(data))
        self._uploads.put_manifest(str(self._reference.tag), document)
        faults.done("push:manifest")
        return self._done(document.digest, len(document.data), self.image.manifest)

    def _done(self, digest: Digest, size: int, target: Descriptor) -> Pushed:
        """Note it and tell it."""
        tag = str(self._reference.tag)
        self._note(digest, target)
        self._emit({"status": f"{tag}: digest: {digest} size: {size}"})
        aux: dict[str, Any] = {"Tag": tag, "Digest": str(digest), "Size": size}
        self._emit({"progressDetail": {}, "aux": aux})
        return Pushed(digest, size)

    def _config(self) -> None:
        config = self._manifest.config
        if self._uploads.size(config.digest) is None:
            self._uploads.send(StoredSource(self._store.content, config))

    def _layer(self, layer: Descriptor, line: LayerLine) -> Descriptor:
        """Bring one layer there; the descriptor of what is there."""
        if layer.foreign:
            line.say(FOREIGN)
            return layer
        compress = self._made_here and layer.media_type in PLAIN_LAYERS
        known = self._known(layer) if compress else layer
        if known is not None:
            if self._uploads.size(known.digest) is not None:
                line.say("Layer already exists")
                return known
            for source in self._sources(known.digest):
                if self._uploads.mount(known.digest, source):
                    line.say(f"Mounted from {source}")
                    return known

        def told(size: int) -> None:
            line.count("Pushing", size)

        if not compress:
            self._uploads.send(StoredSource(self._store.content, layer, told))
            line.say("Pushed")
            return layer
        stream = CompressedSource(self._store.content, layer, told)
        self._uploads.send(stream)
        line.say("Pushed")
        gzip = MEDIA_DOCKER_LAYER_GZIP if layer.media_type == MEDIA_DOCKER_LAYER else MEDIA_LAYER_GZIP
        sent = Descriptor(gzip, stream.digest(), stream.length)
        self._remember(CompressedLayer(layer.digest, sent, ENCODER))
        return sent

    def _known(self, layer: Descriptor) -> Descriptor | None:
        remembered = self._store.database.compressed.get(str(layer.digest))
        return remembered.blob if remembered and remembered.encoder == ENCODER else None

    def _remember(self, made: CompressedLayer) -> None:
        """Those of layers that are gone are forgotten."""
        table, content = self._store.database.compressed, self._store.content
        with self._store.database.transaction(durable=False):
            for other in table.all():
                if not content.has(other.plain):
                    table.delete(str(other.plain), durable=False)
            table.put(made, durable=False)
        faults.done("push:remembered")

    def _sources(self, digest: Digest) -> Iterable[str]:
        """A repository of the same registry that was seen with the blob, by a digest that came from there."""
        remembered = {item.blob.digest: item.plain for item in self._store.database.compressed.all()}
        wanted = {digest, remembered.get(digest, digest)}
        for name in self._store.database.names.all():
            other = name.reference
            if other.domain != self._reference.domain or other.path == self._reference.path or not other.digest:
                continue
            image = self._store.get(name.image_id)
            if image is not None and wanted & {layer.digest for layer in image.layers}:
                return (other.path,)
        return ()

    def _note(self, digest: Digest, target: Descriptor) -> None:
        """The image has this digest in that repository: what Docker shows as RepoDigests."""
        name = replace(self._reference, tag=None, digest=digest)
        with self._store.database.transaction():
            if self._store.database.images.get(str(self.image.id)) is None:
                return  # deleted meanwhile
            self._store.database.names.put(NameRecord(name, self.image.id, target))
        faults.done("push:noted")
        self._store.project()
