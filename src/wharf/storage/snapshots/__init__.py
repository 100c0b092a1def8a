"""Snapshots: file trees that stack.

Glossary. A *committed* snapshot is immutable, named by the chainID of its layers, and lies on the committed snapshot
of its parent. An *active* one, named by a key (a container id), is writable and lies on a committed one, or on
nothing. A *view* is a read-only active one. *Mounts* are how a snapshot is looked at; nobody computes them from a
path. *Layer directories* are where a snapshot's own files lie, for applying, diffing and listing changes.
"""

from dataclasses import dataclass
from typing import Protocol

from wharf.spec.digest import Digest
from wharf.spec.mount import Mount, Overlay


@dataclass(frozen=True, slots=True)
class LayerDirs:
    """`upper` holds the snapshot's own files, `lowers` those below, top first; absolute paths."""

    upper: str
    lowers: tuple[str, ...]


class Snapshotter(Protocol):
    """What the engine and the image store need of snapshots. Every method blocks for file operations only."""

    def prepare(self, key: str, parent: Digest | None, init: bool = False, size: int = 0) -> list[Mount]:
        """Make a writable snapshot on `parent`, of at most `size` bytes where that is not 0; `init` puts Docker's mount
        points below it. Conflict, NotFound, Internal where sizes cannot be limited."""

    def view(self, key: str, parent: Digest | None) -> list[Mount]:
        """Make a read-only snapshot of `parent`."""

    def mounts(self, key: str) -> list[Mount]:
        """How to look at an active snapshot or view again; raises NotFound."""

    def shown(self, key: str) -> Overlay:
        """A view's layers for a container, which cannot change them whatever its rights; raises NotFound."""

    def layers(self, snapshot: str | Digest) -> LayerDirs:
        """Where the files lie; raises NotFound."""

    def commit(self, key: str, chain_id: Digest) -> None:
        """Turn an active snapshot into the immutable `chain_id`; raises NotFound, Conflict for a view."""

    def remove(self, snapshot: str | Digest) -> None:
        """Remove a snapshot; a missing one is fine; raises Conflict when another one lies on it."""

    def exists(self, chain_id: Digest) -> bool:
        """Whether the committed snapshot and all below it are there."""
