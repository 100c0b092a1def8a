"""What the build cache remembers of a step."""

from dataclasses import dataclass, field

from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One result by its key (hexadecimal). `layers` and `diff_ids` are its whole tree, bottom first; `size` the bytes
    of its own layer's archive; times in nanoseconds since 1970; `parent` is the key of the step below."""

    id: str
    description: str
    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    size: int = 0
    created_at: int = 0
    used_at: int = 0
    uses: int = 0
    parent: str = field(default="")
