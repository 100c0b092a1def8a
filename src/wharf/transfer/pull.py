"""Pull: a name at a registry becomes blobs, snapshots, a record, and last of all the name here.

    resolve ── manifest ── config ─┬─ layer 1: download + hash ──┐
                                   ├─ layer 2: download + hash ──┼─ unpack in order, each while it comes
                                   └─ layer 3: download + hash ──┘
    record and names, in one transaction

A lease keeps the blobs that have arrived when a pull is cut off: the next one needs only the others.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from wharf.errors import Invalid, WharfError
from wharf.kernel import faults
from wharf.registry.client.errors import for_pull
from wharf.registry.client.repository import Repository
from wharf.registry.client.values import MAX_CONFIG, Document
from wharf.spec.digest import Digest, chain_ids
from wharf.spec.image import (
    FOREIGN_LAYERS,
    MEDIA_CONFIG,
    MEDIA_DOCKER_CONFIG,
    MEDIA_DOCKER_LAYER,
    MEDIA_DOCKER_LAYER_GZIP,
    MEDIA_LAYER,
    MEDIA_LAYER_GZIP,
    MEDIA_LAYER_ZSTD,
    Descriptor,
    Image,
    Manifest,
)
from wharf.spec.image_record import ImageRecord, NameRecord
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.spec.registry import SignatureRule
from wharf.storage.limits import MAX_BLOB_SIZE
from wharf.transfer.choose import manifest_for, media_type_of
from wharf.transfer.closure import INDEXES, closure
from wharf.transfer.download import Download, Replaced
from wharf.transfer.leases import keep
from wharf.transfer.pull_all import pull_rest
from wharf.transfer.pull_progress import Emit, LayerLine
from wharf.transfer.referrers import pull_referrers
from wharf.transfer.signatures import admit, refuse
from wharf.transfer.store import ImageStore
from wharf.transfer.unpack import PLAIN_LAYERS, Place, apply_blob, check_blob

MAX_LAYERS = 500
_CONFIGS = (MEDIA_CONFIG, MEDIA_DOCKER_CONFIG)
LAYER_TYPES = frozenset(
    (
        MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD, MEDIA_DOCKER_LAYER, MEDIA_DOCKER_LAYER_GZIP,
        MEDIA_DOCKER_LAYER + ".zstd", *FOREIGN_LAYERS,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PullOptions:
    """`platform` None: this machine's. `downloads` layers come at once. `everything`: all of an index is kept,
    `referrers`: what refers to it too."""

    platform: Platform | None = None
    downloads: int = 3
    signatures: SignatureRule = field(default_factory=SignatureRule)
    everything: bool = False
    referrers: bool = False


@dataclass(frozen=True, slots=True)
class Pulled:
    """The image; `changed`: the name was not there, or stood for something else."""

    image: ImageRecord
    digest: Digest
    changed: bool


def pull(store: ImageStore, repository: Repository, reference: Reference, options: PullOptions, emit: Emit) -> Pulled:
    """Pull one name (with a tag or a digest). `emit` gets Docker's messages; what it raises ends the pull.

    Raises NotFound, Unauthorized, Denied with Docker's words; Internal when the registry cannot be reached or
    misbehaves; Invalid for an image that is damaged or none.
    """
    with store.operations.operation():
        try:
            return _pull(store, repository, reference, options, emit)
        except WharfError as error:
            translated = for_pull(error, reference)
            if translated is error:
                raise
            raise translated from None


def _pull(store: ImageStore, repository: Repository, reference: Reference, options: PullOptions, emit: Emit) -> Pulled:
    refuse(reference, options.signatures)
    platform = options.platform or store.platform
    name = str(reference.digest) if reference.digest else str(reference.tag)
    shown = replace(reference, tag=None) if reference.digest else reference
    here = store.database.names.get(shown.canonical())
    top = _document(store, repository, name, here)
    admit(repository, reference, top.digest, options.signatures)
    emit({"status": f"Pulling from {reference.path}", "id": name})
    before = _unchanged(store, here, top, options)
    changed = before is None
    if before is None:
        before = _fetch(store, repository, top, platform, options, emit)
    target = _stored(store, top)
    whole = options.everything and target.media_type in INDEXES
    if whole and changed:
        pull_rest(store, repository, target, emit, options.downloads)
    if options.referrers:
        subjects = [item.digest for item in closure(store.content, target).documents] if whole else [top.digest]
        pull_referrers(store, repository, [*subjects, before.manifest.digest], emit, options.downloads)
    if changed:
        by_digest = replace(reference, tag=None, digest=top.digest)
        store.content.sync()
        faults.done("pull:synced")
        store.add(before, tuple(dict.fromkeys((shown, by_digest))), target, whole=whole)
    emit({"status": f"Digest: {top.digest}"})
    words = "Downloaded newer image for" if changed else "Image is up to date for"
    emit({"status": f"Status: {words} {shown.familiar()}"})
    return Pulled(before, top.digest, changed)


def _document(store: ImageStore, repository: Repository, name: str, here: NameRecord | None) -> Document:
    """What the name stands for there; sent only when it is not what it stands for here."""
    if here is not None:
        found = repository.head(name)
        if found is not None and found.digest == here.target.digest and store.content.has(found.digest):
            return Document(here.target.media_type, store.content.read(found.digest, 1 << 23), found.digest)
    return repository.manifest(name)


def _unchanged(store: ImageStore, here: NameRecord | None, top: Document, options: PullOptions) -> ImageRecord | None:
    """The image, whole, when the name stands for that document already."""
    asked = options.platform
    record = store.get(here.image_id) if here is not None and here.target.digest == top.digest else None
    if record is None or (asked is not None and not asked.matches(record.image.platform)):
        return None
    wanted = here.target if options.everything and here is not None and here.target.media_type in INDEXES else None
    if wanted is not None and (not store.is_whole(wanted.digest) or closure(store.content, wanted).missing):
        return None
    chain = record.chain
    whole = all(store.content.has(blob.digest) for blob in record.blobs)
    return record if whole and (not chain or store.snapshots.exists(chain[-1])) else None


def _fetch(
    store: ImageStore,
    repository: Repository,
    top: Document,
    platform: Platform,
    options: PullOptions,
    emit: Emit,
) -> ImageRecord:
    """Everything but the names. Snapshots and blobs are in place when it returns."""
    found = described(store, repository, top, platform, lease=True)
    manifest, image = found.manifest, found.image
    received = _stored(store, found.document)
    sizes = _Layers(store, repository, manifest.layers, image.diff_ids, emit).run(options.downloads)
    return ImageRecord(
        id=manifest.config.digest,
        image=image,
        manifest=received,
        config=manifest.config,
        layers=manifest.layers,
        layer_sizes=sizes,
        added_at=time.time_ns(),
    )


@dataclass(frozen=True, slots=True)
class Described:
    """An image as its manifest and its configuration have it."""

    document: Document
    manifest: Manifest
    image: Image


class Documents(Protocol):
    """Where small documents of images are: a registry's repository, or a layout."""

    def manifest(self, name: str) -> Document:
        """By its digest, as text."""

    def document(self, digest: Digest, limit: int) -> bytes:
        """A configuration of at most `limit` bytes."""


def described(
    store: ImageStore, repository: Documents, top: Document, platform: Platform, *, lease: bool = False
) -> Described:
    """The platform's image behind a document; with `lease` its blobs are kept from the moment they arrive.

    Raises NotFound where there is none for the platform, Invalid for what is no image that could be used here.
    """
    found = manifest_for(top, platform, lambda digest: repository.manifest(str(digest)))
    manifest = Manifest.from_bytes(found.data)
    _check(manifest)
    if lease:
        keep(store, [*manifest.layers, manifest.config, Descriptor("", found.digest, 0), Descriptor("", top.digest, 0)])
        faults.done("pull:leased")
    image = Image.from_bytes(_config(store, repository, manifest.config))
    if image.platform.os != store.platform.os:
        raise Invalid(f'image operating system "{image.platform.os}" cannot be used on this platform')
    if len(manifest.layers) != len(image.diff_ids):
        raise Invalid(
            f"invalid manifest, layers length mismatch: expected {len(image.diff_ids)}, got {len(manifest.layers)}"
        )
    return Described(found, manifest, image)


def _check(manifest: Manifest) -> None:
    if manifest.config.media_type not in _CONFIGS:
        raise Invalid(f"unsupported media type {manifest.config.media_type[:200]}: this is not a container image")
    if len(manifest.layers) > MAX_LAYERS:
        raise Invalid(f"invalid manifest: {len(manifest.layers)} layers exceed the limit of {MAX_LAYERS}")
    for layer in manifest.layers:
        if layer.media_type not in LAYER_TYPES:
            raise Invalid(f"invalid layer {layer.digest}: unsupported media type {layer.media_type[:200]!r}")
        if layer.size > MAX_BLOB_SIZE:
            raise Invalid(f"invalid layer {layer.digest}: {layer.size} bytes exceed the limit of {MAX_BLOB_SIZE}")


def _config(store: ImageStore, repository: Documents, config: Descriptor) -> bytes:
    if store.content.has(config.digest):
        return store.content.read(config.digest, MAX_CONFIG)
    if config.size > MAX_CONFIG:
        raise Invalid(f"invalid image config: {config.size} bytes exceed the limit of {MAX_CONFIG}")
    data = repository.document(config.digest, MAX_CONFIG)
    store.content.put(data, durable=False)
    return data


def _stored(store: ImageStore, document: Document) -> Descriptor:
    if not store.content.has(document.digest):
        store.content.put(document.data, durable=False)
    return Descriptor(media_type_of(document), document.digest, len(document.data))


class _Layers:
    """The layers of one image on their way: several come at once, each is unpacked when those below it are."""

    def __init__(
        self,
        store: ImageStore,
        repository: Repository,
        layers: Sequence[Descriptor],
        diff_ids: Sequence[Digest],
        emit: Emit,
    ) -> None:
        self._store, self._repository = store, repository
        self._layers, self._diff_ids = layers, diff_ids
        self._chain = chain_ids(tuple(diff_ids))
        self._lines = [LayerLine(emit, layer.digest, layer.size) for layer in layers]
        self._downloads = {layer.digest: Download(store.content, layer, store.locks) for layer in layers}
        known = store.database.images.all()
        self._verified = {
            (layer.digest, diff_id)
            for image in known
            for layer, diff_id in zip(image.layers, image.image.diff_ids, strict=False)
        }

    def run(self, at_once: int) -> tuple[int, ...]:
        """Bytes of each unpacked layer, bottom first."""
        wanted = []
        for number in range(len(self._layers)):
            if self._is_here(number):
                self._lines[number].say("Already exists")
            else:
                wanted.append(number)
                self._lines[number].say("Pulling fs layer" if len(wanted) <= at_once else "Waiting")
        unique = {self._layers[number].digest: number for number in reversed(wanted)}
        with self._pool(at_once) as submit:
            tasks = [submit(self._download, number) for number in sorted(unique.values())]
            sizes = tuple(self._place(number, number in wanted) for number in range(len(self._layers)))
            for task in tasks:
                task.result()
        return sizes

    def _is_here(self, number: int) -> bool:
        return self._store.content.has(self._layers[number].digest) and self._store.snapshots.exists(
            self._chain[number]
        )

    @contextlib.contextmanager
    def _pool(self, at_once: int) -> Iterator[Callable[..., Future[Any]]]:
        """Threads for downloads. When the body fails they are told to give up, and waited for."""
        pool = ThreadPoolExecutor(max(at_once, 1), thread_name_prefix="pull")
        try:
            yield pool.submit
        except BaseException as error:
            self._repository.cancel()
            for download in self._downloads.values():
                download.fail(error)
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            pool.shutdown()
            for download in self._downloads.values():
                download.close()

    def _download(self, number: int) -> None:
        line, layer = self._lines[number], self._layers[number]
        self._downloads[layer.digest].run(
            self._repository,
            lambda size: line.count("Downloading", size),
            line.say,
        )

    def _place(self, number: int, wanted: bool) -> int:
        """The layer's snapshot, made or found; its bytes."""
        layer, diff_id, chain_id = self._layers[number], self._diff_ids[number], self._chain[number]
        line = self._lines[number]
        if layer.media_type in PLAIN_LAYERS and layer.digest != diff_id:
            raise Invalid(f"invalid layer {layer.digest}: its diffID is {diff_id} in the image config")
        if wanted:
            with self._store.locks.held(chain_id):
                while not self._unpack(number):
                    pass
            line.say("Pull complete")
        else:
            self._check(layer, diff_id)
        return self._store.snapshots.usage(chain_id)

    def _unpack(self, number: int) -> bool:
        """Make the snapshot while the blob comes; False when other bytes are coming instead."""
        layer, diff_id, chain_id = self._layers[number], self._diff_ids[number], self._chain[number]
        line = self._lines[number]
        try:
            with self._downloads[layer.digest].open(lambda size: line.count("Extracting", size)) as blob:
                if not self._store.snapshots.exists(chain_id):
                    below = self._chain[number - 1] if number else None
                    apply_blob(self._store, layer, blob, Place(diff_id, below, chain_id))
                else:
                    while blob.read(1 << 20):
                        pass
                    self._check(layer, diff_id)
            return True
        except Replaced:
            return False

    def _check(self, layer: Descriptor, diff_id: Digest) -> None:
        """A blob that no image had for this layer must still be what it says."""
        if (layer.digest, diff_id) not in self._verified:
            check_blob(self._store, layer, diff_id)
