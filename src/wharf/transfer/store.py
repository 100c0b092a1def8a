"""The images of one data root: records, names, blobs and snapshots together, and the rule of what may go.

    names ──> images ──> manifest, config, layers (blobs)
                 └─────> snapshots, one a layer, by chainID

A name or an image is added in one transaction after all it needs is synced; what no row names is swept (operations).
`index.json` of the blob store is a projection of the rows, rewritten after each change.
"""

import contextlib
import logging
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from wharf.errors import Invalid, NotFound
from wharf.kernel import faults
from wharf.spec.digest import Digest, chain_ids
from wharf.spec.host import Host
from wharf.spec.image import Descriptor
from wharf.spec.image_record import BlobLease, ImageRecord, NameRecord
from wharf.spec.platform import of_machine
from wharf.spec.reference import Reference
from wharf.storage.content import ContentStore
from wharf.storage.layers.unpack import Worker
from wharf.storage.limits import DISK_FULL
from wharf.storage.metadata import Database
from wharf.storage.snapshots.overlay import OverlaySnapshotter
from wharf.transfer.closure import closure
from wharf.transfer.download import KeyedLocks
from wharf.transfer.operations import Operations

ANNOTATION_IMAGE_NAME = "io.containerd.image.name"
ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"
FOREVER = (1 << 63) - 1
"""Until when an index that is kept whole has its lease: it counts while a name points to the index."""
EXTRACT_PREFIX = "extract-"
"""Keys of snapshots that are being unpacked; those found at start are leftovers."""
ID_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})\Z")

log = logging.getLogger("wharf.images")


class ImageStore:
    """All images; safe for use from many threads."""

    def __init__(
        self,
        database: Database,
        content: ContentStore,
        snapshots: OverlaySnapshotter,
        worker: Worker,
        host: Host,
    ) -> None:
        self.database = database
        self.content = content
        self.snapshots = snapshots
        self.worker = worker
        self.host = host
        self.platform = of_machine(host.machine)
        self.operations = Operations(self._sweep)
        self.locks = KeyedLocks()
        self.delete_lock = threading.Lock()
        """Held while an image is judged and deleted, and while one gets a name: no deletion judges by what is past."""
        self.prune_lock = threading.Lock()
        self._project_lock = threading.Lock()

    def restore(self) -> None:
        """At start: remove what a crash left unnamed and rebuild the projection."""
        for key in list(self.snapshots.keys()):
            if key.startswith(EXTRACT_PREFIX):
                self.snapshots.remove(key)
        self.operations.request_sweep()
        self.project()

    def all(self) -> list[ImageRecord]:
        """Every image with its names."""
        images = self.database.images.all()
        names: dict[Digest, list[Reference]] = {}
        for name in self.database.names.all():  # read last: one that came meanwhile does not look as if it had no name
            names.setdefault(name.image_id, []).append(name.reference)
        return [replace(item, names=tuple(names.get(item.id, ()))) for item in images]

    def get(self, image_id: Digest) -> ImageRecord | None:
        """The image with this id and its names."""
        record = self.database.images.get(str(image_id))
        if record is None:
            return None
        names = self.database.names.where("image_id", str(image_id))
        return replace(record, names=tuple(sorted((name.reference for name in names), key=str)))

    def resolve(self, text: str) -> ImageRecord:
        """The image that a name, an id or the unambiguous beginning of an id stands for.

        Raises NotFound `No such image: …` or Invalid for what can be neither.
        """
        match = ID_PREFIX.match(text)
        if match and len(match.group(1)) == 64:
            found = self.get(Digest(match.group(1)))
            if found is None:
                raise NotFound(f"No such image: sha256:{match.group(1)}")
            return found
        reference = Reference.parse(text).with_default_tag()
        found = self.named(reference) or (self._by_prefix(match.group(1)) if match else None)
        if found is None:
            raise NotFound(f"No such image: {reference.familiar()}")
        return found

    def named(self, reference: Reference) -> ImageRecord | None:
        """The image of a name with tag or digest; a tag beside a digest does not count."""
        if reference.digest:
            reference = replace(reference, tag=None)
        name = self.database.names.get(reference.canonical())
        return self.get(name.image_id) if name else None

    def is_whole(self, digest: Digest) -> bool:
        """Whether all that the index of a name leads to is kept."""
        lease = self.database.leases.get(str(digest))
        return lease is not None and lease.until == FOREVER

    def add(
        self,
        record: ImageRecord,
        names: Iterable[Reference] = (),
        target: Descriptor | None = None,
        *,
        whole: bool = False,
    ) -> None:
        """Record an image and give it names, which are taken from whatever had them.

        `whole`: all that `target` leads to stays as long as a name points to it.

        `target` is what the names point to where it is not the image's own manifest (an index).
        Everything the record names must be in the stores already. Durable when it returns, but for the time of the tag
        where that is all that is new.
        """
        with self.operations.operation():
            with self.delete_lock, self.database.transaction(durable=False):
                known = self.database.images.get(str(record.id))
                # An image that is here already keeps the manifest it came with.
                points_to = target or (known or record).manifest
                given = [NameRecord(reference, record.id, points_to) for reference in names]
                names_are_new = any(self.database.names.get(name.reference.canonical()) != name for name in given)
                is_new = known is None or names_are_new
                kept_row = replace(known or record, names=(), last_tagged=record.last_tagged)
                self.database.images.put(kept_row, durable=is_new)
                for name in given if names_are_new else ():
                    self.database.names.put(name)
                kept = {blob.digest for blob in (*record.blobs, *((target,) if target else ()))}
                if whole and target:
                    kept |= closure(self.content, target).digests()
                for digest in kept:  # the rows keep them now
                    lease = self.database.leases.get(str(digest))
                    if lease is not None and lease.until != FOREVER:
                        self.database.leases.delete(str(digest), durable=False)
                if whole and target:
                    self.database.leases.put(BlobLease(target.digest, FOREVER))
            faults.done("image:recorded")
            if is_new:
                self.project()
            faults.done("image:index")

    def tag(self, image: ImageRecord, reference: Reference, source: str = "") -> None:
        """Give an image one more name; where `source` is a name whose index is kept whole, the new one has it too.

        Raises NotFound when the image was deleted meanwhile."""
        with self.operations.operation():
            with self.delete_lock, self.database.transaction():
                record = self.database.images.get(str(image.id))
                if record is None:
                    raise NotFound(f"No such image: {image.id}")
                self.database.images.put(replace(record, last_tagged=time.time_ns()))
                target = self._whole_target(source) or record.manifest
                self.database.names.put(NameRecord(reference, image.id, target))
            self.project()

    def _whole_target(self, source: str) -> Descriptor | None:
        try:
            reference = Reference.parse(source).with_default_tag()
        except Invalid:
            return None
        name = self.database.names.get(reference.canonical())
        return name.target if name is not None and self.is_whole(name.target.digest) else None

    def untag(self, reference: Reference) -> None:
        """Take a name away; the image stays."""
        with self.operations.operation():
            self.database.names.delete(reference.canonical())
            faults.done("image-untag:recorded")
            self.project()

    def remove(self, image: ImageRecord) -> None:
        """Remove an image with its names, in one write; blobs and snapshots follow when nothing else needs them."""
        with self.operations.operation():
            self.database.images.delete(str(image.id))
            faults.done("image-delete:recorded")
            self.project()
            faults.done("image-delete:index")
            self.operations.request_sweep()  # at the end of this operation: nobody sees rows without their files

    def project(self) -> None:
        """Rewrite the blob store's index.json from the rows. A full disk is told in the log only: the rows are what
        counts, and the next change or start writes it."""
        with self._project_lock:  # read and written as one: the last writer must have read last
            try:
                self.content.write_index(self.projection())
            except OSError as error:
                if error.errno not in DISK_FULL:
                    raise
                log.warning("%s/index.json stays as it was: %s", self.content.root, error.strerror)

    def projection(self) -> list[Descriptor]:
        """What index.json should list."""
        entries: list[Descriptor] = []
        named: set[Digest] = set()
        for name in self.database.names.all():
            notes = {ANNOTATION_IMAGE_NAME: name.reference.canonical()}
            if name.reference.tag:
                notes[ANNOTATION_REF_NAME] = name.reference.tag
            entries.append(replace(name.target, annotations=notes))
            named.add(name.image_id)
        entries += [item.manifest for item in self.database.images.all() if item.id not in named]
        return entries

    def _by_prefix(self, prefix: str) -> ImageRecord | None:
        low, high = f"sha256:{prefix}", f"sha256:{prefix}g"
        rows = self.database.read("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", (low, high))
        return self.get(Digest.parse(rows[0][0])) if len(rows) == 1 else None

    def unnamed(self) -> tuple[list[Digest], set[Digest]]:
        """Blobs that no row names or keeps, and committed snapshots that no image and no container stands on.
        Only right while no operation is under way. Nothing where a row cannot be read: nobody knows what that names."""
        images = self.database.images.all()
        blobs = {blob.digest for image in images for blob in image.blobs}
        blobs |= {name.target.digest for name in self.database.names.all()}
        now = time.time_ns()
        leases = self.database.leases.all()
        blobs |= {lease.digest for lease in leases if now < lease.until < FOREVER}
        whole = {lease.digest for lease in leases if lease.until == FOREVER}
        for target in {name.target.digest: name.target for name in self.database.names.all()}.values():
            if target.digest in whole:
                blobs |= closure(self.content, target).digests()
        self._add_referrers(blobs)
        cached = self.database.build_cache.all()
        blobs |= {layer.digest for record in cached for layer in record.layers}
        kept = {chain_id for image in images for chain_id in image.chain}
        kept |= {chain_id for record in cached for chain_id in chain_ids(record.diff_ids)}
        for key in list(self.snapshots.keys()):
            with contextlib.suppress(NotFound):  # its container was removed just now
                below = self.snapshots.parent(key)
                while below and below not in kept:
                    kept.add(below)
                    below = self.snapshots.parent(below)
        rows = self.database
        if any(table.damaged for table in (rows.images, rows.names, rows.leases, rows.referrers, rows.build_cache)):
            return [], set()
        strangers = [digest for digest in self.content.digests() if digest not in blobs]
        return strangers, set(self.snapshots.chain_ids()) - kept

    def _add_referrers(self, blobs: set[Digest]) -> None:
        """What is kept beside documents that are kept, and beside that."""
        waiting = self.database.referrers.all()
        while chosen := [record for record in waiting if record.subject in blobs]:
            waiting = [record for record in waiting if record.subject not in blobs]
            for referrer in (item for record in chosen for item in record.documents):
                blobs |= closure(self.content, referrer.document).digests()

    def _sweep(self) -> None:
        blobs, unnamed = self.unnamed()
        for record in self.database.referrers.all():
            if record.subject in blobs:
                self.database.referrers.delete(str(record.subject), durable=False)
        for lease in self.database.leases.all():
            if lease.until == FOREVER and lease.digest in blobs:  # no name points to that index any more
                self.database.leases.delete(str(lease.digest), durable=False)
        for digest in blobs:
            self.content.delete(digest)
            faults.done("image-delete:blob")
        while unnamed:  # top first
            parents = {self.snapshots.parent(chain_id) for chain_id in unnamed}
            for chain_id in unnamed - parents:
                self.snapshots.remove(chain_id)
                faults.done("image-delete:snapshot")
            unnamed &= parents


def parse_name(text: str) -> Reference:
    """A name that a client wants to give: a tag is added, a digest refused. Raises Invalid."""
    reference = Reference.parse(text)
    if reference.digest:
        raise Invalid("refusing to create a tag with a digest reference")
    return reference.with_default_tag()


def names_of(texts: Sequence[str] | None) -> list[Reference]:
    """Names as an archive lists them."""
    return [parse_name(text) for text in texts or ()]
