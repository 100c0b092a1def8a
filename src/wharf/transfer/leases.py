"""Leases on blobs: what is about to be named, for a day; the index that is kept whole, for as long as a name has it."""

import time
from collections.abc import Sequence

from wharf.spec.image import Descriptor
from wharf.spec.image_record import BlobLease
from wharf.transfer.store import ImageStore

LEASE_NS = 24 * 3600 * 10**9
"""How long the blobs of a pull that was cut off stay."""


def keep(store: ImageStore, blobs: Sequence[Descriptor]) -> None:
    """A lease for all that is about to come; those that ended are forgotten."""
    until = time.time_ns() + LEASE_NS
    with store.database.transaction(durable=False):
        for lease in store.database.leases.all():
            if lease.until <= time.time_ns():
                store.database.leases.delete(str(lease.digest), durable=False)
        for blob in blobs:
            store.database.leases.put(BlobLease(blob.digest, until), durable=False)
