"""What each operation of a graph means to this engine: the solver's Executor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wharf.build.graph import (
    CopyFiles,
    Exec,
    Files,
    GitSource,
    HttpSource,
    ImageSource,
    LocalSource,
    MountKind,
    Vertex,
    digest_of,
)
from wharf.build.ops.brought import Brought
from wharf.build.ops.files import FileWork
from wharf.build.ops.git import DEFAULT_AGENT, fetch_git
from wharf.build.ops.remote import fetch_http
from wharf.build.ops.run import StepWork
from wharf.build.solver.solver import Job
from wharf.build.tree import Tree
from wharf.errors import Internal, NotFound
from wharf.spec.digest import Digest

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


@dataclass(slots=True)
class Executor:
    """`brought` is what each running build brought along, by the build."""

    engine: Engine
    files: FileWork
    steps: StepWork
    downloads: str
    brought: dict[str, Brought] = field(default_factory=dict)

    def content(self, vertex: Vertex, index: int, result: Tree) -> Digest | None:
        """Copies and binds go by what they use; the tree that a step changes goes by its own key."""
        op = vertex.op
        if isinstance(op, Files) and index > 0:
            actions = [a for a in op.actions if isinstance(a, CopyFiles) and a.input == index]
            return digest_of([str(self.files.digest(result, action)) for action in actions])
        if isinstance(op, Exec) and index > 0:
            shown = [m for m in op.mounts if m.input == index and m.kind is MountKind.BIND]
            owners = not result.directory
            parts = [CopyFiles(index, (mount.source,), "/", zero_owner=not owners) for mount in shown]
            return digest_of([str(self.files.digest(result, part)) for part in parts])
        return None

    def cacheable(self, vertex: Vertex) -> bool:
        """Sources are asked each time: what they give is here already, or has to be looked at again."""
        return isinstance(vertex.op, Exec | Files)

    def instant(self, vertex: Vertex) -> bool:
        """What is here already is only looked up."""
        return isinstance(vertex.op, ImageSource | LocalSource)

    def run(self, vertex: Vertex, inputs: Sequence[Tree | None], job: Job) -> Tree:
        """Do it."""
        op = vertex.op
        brought = self.brought.get(vertex.build) or Brought()
        if isinstance(op, Files):
            return self.files.run(vertex, inputs)
        if isinstance(op, Exec):
            return self.steps.run(vertex, inputs, job, brought)
        if isinstance(op, ImageSource):
            return self._image(op, brought)
        if isinstance(op, LocalSource):
            return _context(op, brought)
        if isinstance(op, HttpSource):
            return self._http(op, brought, job)
        if isinstance(op, GitSource):
            return self._git(op, brought, job)
        raise Internal(f"no such operation: {type(op).__name__}")

    def _image(self, op: ImageSource, brought: Brought) -> Tree:
        record = self.engine.images.get(Digest.parse(op.image_id))
        if record is None:
            if op.image_id in brought.absent:
                return brought.absent[op.image_id].tree()
            raise NotFound(f"No such image: {op.reference}")
        return Tree(record.layers, record.image.diff_ids)

    def _http(self, op: HttpSource, brought: Brought, job: Job) -> Tree:
        name = f"http {op.url}"
        brought.lock.expected(name)
        found = fetch_http(op, self.downloads, job.check)
        brought.fetched.append(found.directory)
        brought.lock.take(name, found.digest)
        return Tree(directory=found.directory)

    def _git(self, op: GitSource, brought: Brought, job: Job) -> Tree:
        name = f"git {op.url}#{op.ref}"
        agent = brought.agents.get(DEFAULT_AGENT)
        found = fetch_git(op, self.downloads, job.check, brought.lock.expected(name), agent)
        brought.fetched.append(found.top)
        brought.lock.take(name, found.commit)
        return Tree(directory=found.directory)


def _context(op: LocalSource, brought: Brought) -> Tree:
    found = brought.contexts.get(op.name)
    if found is None:
        raise NotFound(f"no build context {op.name.partition(':')[2] or op.name}")
    return found
