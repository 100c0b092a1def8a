"""What a build's operations give: a stack of layers, or a directory of the client's files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wharf.spec.digest import Digest, chain_ids
from wharf.spec.image import Descriptor


@dataclass(frozen=True, slots=True)
class Tree:
    """`layers` and `diff_ids` bottom first. `directory`: files on the host that are not layered (a context, a
    download), with the patterns of what is left out of it; `known` are digests (SHA-256) of its files by name, where
    somebody has them already. `selected`, for a directory that never changes: digests of what was taken of it before,
    by the words that said what, and `builds` what builds of it found (unchanged.py). `fetch` brings layers that are not
    here yet."""

    layers: tuple[Descriptor, ...] = ()
    diff_ids: tuple[Digest, ...] = ()
    directory: str = ""
    ignore: tuple[str, ...] = ()
    known: Mapping[str, bytes] = field(default_factory=dict, compare=False)
    selected: dict[str, Digest] | None = field(default=None, compare=False)
    builds: list[Any] | None = field(default=None, compare=False)
    fetch: Callable[[], None] | None = field(default=None, compare=False)

    @property
    def chain_id(self) -> Digest | None:
        """The snapshot that shows it; None for an empty tree."""
        chain = chain_ids(self.diff_ids)
        return chain[-1] if chain else None

    def on(self, layer: Descriptor) -> "Tree":
        """With one more layer, an uncompressed archive."""
        return Tree((*self.layers, layer), (*self.diff_ids, layer.digest))


EMPTY = Tree()
