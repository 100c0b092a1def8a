"""Builds that were done before, to the word: the same archive, the same request, the same base images.

What such a build found is taken again instead of lowered and solved, while every base image is the one it was and the
cache still has every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wharf.build.bases import Bases
from wharf.build.graph import Exec, Files, ImageSource, LocalSource, Vertex
from wharf.build.lower import Target
from wharf.build.request import BuildRequest
from wharf.build.solver.solver import Cache, Progress, Solution, Solved
from wharf.build.tree import Tree
from wharf.spec.digest import Digest
from wharf.spec.platform import Platform
from wharf.transfer.store import ImageStore

MAX_REMEMBERED = 4
"""Builds of one archive."""


@dataclass(frozen=True, slots=True)
class Before:
    """A build that went well: `words` is what it was asked for, `bases` the ids of the images that it found by name."""

    words: tuple[Any, ...]
    bases: Mapping[tuple[str, Platform], str]
    targets: list[Target]
    solution: Solution[Tree]

    def tell(self, report: Callable[[Progress], None]) -> None:
        """What the solver would tell."""
        for vertex, _ in self.solution.steps:
            if isinstance(vertex.op, ImageSource | LocalSource):
                report(Progress(vertex, "started"))
                report(Progress(vertex, "done"))
            else:
                report(Progress(vertex, "cached"))


def remember(context: Tree, bases: Bases, targets: list[Target], found: Solution[Tree]) -> None:
    """For the next build of this archive, where nothing but the request and the base images decides the result."""
    words = _words(bases.request)
    if context.builds is None or words is None or bases.absent:
        return
    if all(isinstance(vertex.op, ImageSource | LocalSource | Exec | Files) for vertex, _ in found.steps):
        context.builds.append(Before(words, dict(bases.found), targets, found))
        del context.builds[:-MAX_REMEMBERED]


def done_before(context: Tree, bases: Bases, cache: Cache[Tree]) -> Before | None:
    """The last build of this archive with the same words, if all that it stands on is still there."""
    words = _words(bases.request)
    if words is None:
        return None
    known: list[Before] = context.builds or []
    for before in reversed(known):
        if before.words == words and _stands(before, bases, cache):
            return before
    return None


def _words(request: BuildRequest) -> tuple[Any, ...] | None:
    """What decides a build beside its archive; None where registries, other caches or other contexts do, too."""
    elsewhere = request.pull or request.imports or request.exports or request.named or request.contexts
    if elsewhere or request.layouts or request.verify or request.locked is not None or request.options.no_cache:
        return None
    return (request.options, request.dockerfile, request.text, request.platforms)


def _stands(before: Before, bases: Bases, cache: Cache[Tree]) -> bool:
    images = bases.engine.images
    for (name, platform), image_id in before.bases.items():
        if images.get(Digest.parse(image_id)) is None or bases.image(name, platform).image_id != image_id:
            return False
    return all(_is_there(images, cache, vertex, solved) for vertex, solved in before.solution.steps)


def _is_there(images: ImageStore, cache: Cache[Tree], vertex: Vertex, solved: Solved[Tree]) -> bool:
    if isinstance(vertex.op, LocalSource):
        return True
    if isinstance(vertex.op, ImageSource):
        record = images.get(Digest.parse(vertex.op.image_id))
        return record is not None and Tree(record.layers, record.image.diff_ids) == solved.result
    return cache.get(solved.key) == solved.result
