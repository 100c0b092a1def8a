"""What the build cache remembers: results of steps, and the directories of cache mounts."""

from dataclasses import dataclass

from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor

REGULAR = "regular"
CACHE_MOUNT = "exec.cachemount"
LOCAL_SOURCE = "source.local"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One result by its key (hexadecimal). `layers` and `diff_ids` are its whole tree, bottom first; `size` the bytes
    of its own layer's archive; times in nanoseconds since 1970; `parents` are the keys of the steps it was made of.

    `kind` is the Engine API's BuildCache.Type. A cache mount has no layers; `id` names its directory then.
    """

    id: str
    description: str
    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    size: int = 0
    created_at: int = 0
    used_at: int = 0
    uses: int = 0
    parents: tuple[str, ...] = ()
    kind: str = REGULAR


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A record as people see it: `in_use` by a build that runs, `shared` with an image."""

    record: BuildRecord
    in_use: bool
    shared: bool
