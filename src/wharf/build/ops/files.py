"""COPY, ADD, WORKDIR and here-documents: changes of files, done by a worker on a writable snapshot."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import zstandard

from wharf.build.graph import CopyFiles, FileAction, Files, Vertex
from wharf.build.tree import EMPTY, Tree
from wharf.kernel.paths import DIRECTORY
from wharf.spec.digest import Digest
from wharf.spec.image import MEDIA_LAYER, Descriptor
from wharf.storage.files.jobs import digest_selected
from wharf.storage.layers.pack import pack
from wharf.transfer.store import EXTRACT_PREFIX
from wharf.transfer.unpack import ensure_unpacked

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_SELECTED = 1000
"""Digests that are remembered of one directory."""


@dataclass(frozen=True, slots=True)
class FileWork:
    """File operations of one engine; `scratch` is a directory for mount points and downloads."""

    engine: Engine
    scratch: str

    def run(self, vertex: Vertex, inputs: Sequence[Tree | None]) -> Tree:
        """The tree with the actions done. Raises WharfError."""
        op = vertex.op
        assert isinstance(op, Files)
        base = inputs[0] or EMPTY
        on = EMPTY if op.linked else base
        with self.writable(on) as key, self.places([*inputs[1:], base]) as trees:
            mount = asdict(self.engine.snapshots.mounts(key)[0])
            actions = [_action(action, inputs) for action in op.actions]
            below = trees.pop()
            like = below if op.linked else None
            args: dict[str, Any] = {"mount": mount, "trees": trees, "actions": actions, "like": like}
            if any(isinstance(action, CopyFiles) and action.unpack for action in op.actions):
                args["libraries"] = os.path.dirname(os.path.dirname(zstandard.__file__))
            return self.packed(base, key, vertex.epoch, ("files.apply", args))

    def digest(self, tree: Tree, action: CopyFiles) -> Digest:
        """The content that an action copies of a tree."""
        args = {
            "sources": list(action.sources),
            "excludes": list(action.excludes),
            "ignore": list(tree.ignore),
            "parents": action.parents,
            "owners": not action.zero_owner,
        }
        if tree.directory:  # nothing to mount: a worker would only take longer
            return _of_directory(tree, args)
        with self.places([tree]) as trees:
            result = self.engine.worker.run("files.digest", {"tree": trees[0], **args})
        return Digest(str(result["digest"]))

    @contextlib.contextmanager
    def writable(self, base: Tree) -> Iterator[str]:
        """A writable snapshot on a tree, gone at the end."""
        key = f"{EXTRACT_PREFIX}build-{secrets.token_hex(8)}"
        ensure_here(self.engine, base)
        self.engine.snapshots.prepare(key, base.chain_id)
        try:
            yield key
        finally:
            self.engine.snapshots.remove(key)

    def without_stubs(self, base: Tree, key: str, targets: list[str], epoch: int) -> Tree:
        """As `packed`, when what was only made so that something could be mounted upon it is taken away."""
        with self.places([base]) as trees:
            mount = asdict(self.engine.snapshots.mounts(key)[0])
            return self.packed(
                base, key, epoch, ("files.stubs", {"mount": mount, "tree": trees[0], "targets": targets})
            )

    def packed(self, base: Tree, key: str, epoch: int, after: tuple[str, dict[str, Any]] | None = None) -> Tree:
        """The base with one more layer: what the snapshot `key` holds of its own, `after` a job that changes it."""
        with self.engine.content.writer() as writer:
            layers = self.engine.snapshots.layers(key)
            pack(self.engine.worker, layers, writer, host=self.engine.host, newest=epoch, after=after)
            blob = writer.commit(durable=False)
        tree = base.on(Descriptor(MEDIA_LAYER, blob.digest, blob.size))
        ensure_unpacked(self.engine.images, tree.layers, tree.diff_ids)
        return tree

    @contextlib.contextmanager
    def places(self, trees: Sequence[Tree | None]) -> Iterator[list[dict[str, Any]]]:
        """How a worker finds trees: directories, or layers with an empty directory to mount them upon."""
        made: list[str] = []
        try:
            found: list[dict[str, Any]] = []
            for tree in trees:
                tree = tree or EMPTY
                if tree.directory:
                    found.append({"directory": tree.directory})
                    continue
                ensure_here(self.engine, tree)
                place = os.path.join(self.scratch, secrets.token_hex(8))
                os.mkdir(place, 0o700)
                made.append(place)
                found.append({"lowers": self._lowers(tree), "place": place})
            yield found
        finally:
            for place in made:
                os.rmdir(place)

    def _lowers(self, tree: Tree) -> list[str]:
        if tree.chain_id is None:
            return []
        layers = self.engine.snapshots.layers(tree.chain_id)
        return [layers.upper, *layers.lowers]


def ensure_here(engine: Engine, tree: Tree) -> None:
    """A tree's layers, fetched where they are not here, and unpacked. Raises WharfError."""
    if tree.fetch is not None:
        tree.fetch()
    ensure_unpacked(engine.images, tree.layers, tree.diff_ids)


def _of_directory(tree: Tree, args: dict[str, Any]) -> Digest:
    words = json.dumps(args)
    found = tree.selected.get(words) if tree.selected is not None else None
    if found is None:
        top = os.open(tree.directory, DIRECTORY)
        try:
            found = Digest(digest_selected(top, args, tree.known))
        finally:
            os.close(top)
        if tree.selected is not None and len(tree.selected) < MAX_SELECTED:
            tree.selected[words] = found
    return found


def _action(action: FileAction, inputs: Sequence[Tree | None]) -> dict[str, Any]:
    args = {"kind": type(action).__name__, **asdict(action)}
    if isinstance(action, CopyFiles):
        args["tree"] = action.input - 1
        source = inputs[action.input]
        args["ignore"] = list(source.ignore) if source else []
    return args
