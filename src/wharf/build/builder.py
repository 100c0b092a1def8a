"""Building an image: a context and a Dockerfile become images, and go where they are wanted.

<data root>/build/contexts/<id>/   the client's files of a build that runs
                  caches/<name>/   cache mounts
                  kept/<key>/      the last context of a client's directory
                  unpacked/<id>/   contexts that came as small archives, the last ones
                  steps/ downloads/ places/   what a running build needs; emptied at start
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wharf.build.agents import Agents
from wharf.build.bases import Bases
from wharf.build.cache import BuildCache
from wharf.build.cache_policy import Space, wanted
from wharf.build.contexts import Contexts, ignore_patterns
from wharf.build.deliver import deliver
from wharf.build.explain import MAX_LINES, differences
from wharf.build.finish import finished, record, same_platforms
from wharf.build.kept import KeptContexts
from wharf.build.limits import Deadline
from wharf.build.lock import SourceLock
from wharf.build.lower import CONTEXT, Target, lower
from wharf.build.ops.brought import Brought
from wharf.build.ops.executor import Executor
from wharf.build.ops.files import FileWork
from wharf.build.ops.run import Locks, StepWork
from wharf.build.outputs import check as check_outputs
from wharf.build.portable.document import inline_records
from wharf.build.portable.export import steps_of
from wharf.build.portable.imports import ImportedCache
from wharf.build.portable.places import export_caches, open_sources
from wharf.build.request import BuildRequest, Built
from wharf.build.service import EMPTIED
from wharf.build.small_contexts import SmallContexts
from wharf.build.solver.solver import Cancelled, Nothing, Progress, Solution, Solver
from wharf.build.tree import EMPTY, Tree
from wharf.build.unchanged import done_before, remember
from wharf.dockerfile.checks import Finding
from wharf.dockerfile.instructions import Dockerfile
from wharf.engine.filters import Filters
from wharf.errors import WharfError
from wharf.spec.build_record import CacheEntry
from wharf.spec.image_record import ImageRecord

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

WORKERS = 8
"""Steps that run side by side, of all builds together."""
OTHER_OWNER = 4242
"""Who the files of the second build of `verify` belong to on this host."""
Watch = Callable[[Sequence[Target]], Callable[[Progress], None]]


@dataclass(frozen=True, slots=True)
class _Source:
    """A context and its Dockerfile."""

    context: Tree
    file: Dockerfile


class Builder:
    """The build service of one engine."""

    def __init__(self, engine: Engine, root: str) -> None:
        self.engine = engine
        self._root = root
        for name in EMPTIED:
            os.makedirs(os.path.join(root, name), mode=0o700, exist_ok=True)
        os.makedirs(os.path.join(root, "caches"), mode=0o711, exist_ok=True)
        self.cache = BuildCache(engine.database, engine.images, engine.trash, os.path.join(root, "caches"))
        self.cache.restore()
        files = FileWork(engine, os.path.join(self._root, "places"))
        steps = StepWork(engine, files, self._root, self.cache, Locks())
        downloads = os.path.join(self._root, "downloads")
        self.contexts = Contexts(engine, os.path.join(self._root, "contexts"), downloads)
        self.small = SmallContexts(engine, os.path.join(root, "unpacked"))
        self.kept = KeptContexts(engine, os.path.join(self._root, "kept"))
        self._executor = Executor(engine, files, steps, downloads)
        self._solver: Solver[Tree] = Solver(self._executor, self.cache, WORKERS)
        self.agents = Agents()
        self._cancels: dict[str, threading.Event] = {}

    def close(self) -> None:
        """Wait for the steps that run."""
        self._solver.close()
        self.cache.close()

    @contextlib.contextmanager
    def cancellable(self, build_id: str, cancelled: threading.Event) -> Iterator[None]:
        """While a build runs, `cancel` with its client's id ends it."""
        self._cancels[build_id] = cancelled
        try:
            yield
        finally:
            if build_id and self._cancels.get(build_id) is cancelled:
                del self._cancels[build_id]

    def cancel(self, build_id: str) -> None:
        """End the build with this id; an unknown one is fine: it may have ended by itself."""
        found = self._cancels.get(build_id)
        if found is not None:
            found.set()

    def build(
        self,
        context: Tree,
        file: Dockerfile,
        request: BuildRequest,
        watch: Watch,
        cancelled: threading.Event,
        lock: SourceLock | None = None,
    ) -> Built:
        """Build the target for every platform and bring it where it is wanted; names come last.

        `watch` is told what will be done, and gives who hears of it. Raises DockerfileError, NotFound, what a step
        raised, Unavailable when the time is up.
        """
        check_outputs(request.outputs, request.names)
        lock = lock or SourceLock(request.locked)
        source = _Source(context, file)
        with (
            Deadline(request.timeout, cancelled) as deadline,
            self.engine.images.operations.operation(),
            self.engine.worker.kept(),
            self.cache.used(),
        ):
            try:
                return self._build(source, request, watch, deadline, lock)
            except Cancelled:
                deadline.check()
                raise

    def check(self, context: Tree, file: Dockerfile, request: BuildRequest) -> list[Finding]:
        """What the build checks find, without a step being run; base images are looked at. Raises DockerfileError."""
        lock = SourceLock(request.locked)
        with (
            self.engine.images.operations.operation(),
            self._run(_Source(context, file), Bases(self.engine, request, lock), None) as found,
        ):
            return [finding for target in found for finding in target.checks.findings]

    def _build(
        self, source: _Source, request: BuildRequest, watch: Watch, deadline: Deadline, lock: SourceLock
    ) -> Built:
        engine = self.engine
        imported = None
        if request.imports:
            imported = ImportedCache(engine, open_sources(engine, request), request.warned)
            if imported.empty and not _any_here(engine, request):
                # As Docker's own builder: who names images to take from, and none is there, takes nothing.
                request = replace(request, options=replace(request.options, no_cache=frozenset({"*"})))
        with self._found(source, Bases(engine, request, lock), watch, deadline, imported) as (targets, solution):
            images = self._images(targets, solution, request)
            found = None
            if request.verify:
                found = tuple(self._verify(source, request, images, deadline.event, lock))
            self._keep(images, request)
            deliver(engine, images, request)
            trees = [_tree(target, solution) for target in targets]
            export_caches(engine, request, solution.steps, trees, self.cache.mounts)
        if request.imports or request.exports or any(output.to_client for output in request.outputs):
            engine.images.operations.request_sweep()  # of what was made only to be sent, or to be looked at
        return Built(images[0], tuple(images), targets[0], lock.taken, found)

    @contextlib.contextmanager
    def _found(
        self, source: _Source, bases: Bases, watch: Watch, deadline: Deadline, imported: ImportedCache | None
    ) -> Iterator[tuple[list[Target], Solution[Tree]]]:
        """The targets and their results: those of the last build where nothing has changed since, else worked out."""
        before = done_before(source.context, bases, self.cache)
        if before is not None:
            before.tell(deadline.watching(watch(before.targets)))
            yield before.targets, before.solution
            return
        with self._run(source, bases, imported) as targets:
            report = deadline.watching(watch(targets))
            solution = self._solve(self._solver, targets, report, deadline.event, imported)
            remember(source.context, bases, targets, solution)
            yield targets, solution

    def _keep(self, images: Sequence[ImageRecord], request: BuildRequest) -> None:
        """As the engine's own, where an output says so."""
        storing = [output for output in request.outputs if output.stores or output.pushes]
        if storing:
            names = dict.fromkeys((*request.names, *(name for output in storing for name in output.names)))
            record(self.engine, images, tuple(names), indexed=request.several)

    @contextlib.contextmanager
    def _run(self, source: _Source, bases: Bases, imported: ImportedCache | None) -> Iterator[list[Target]]:
        """The targets of all platforms; what they need of the client is there within the `with`."""
        request, build = bases.request, secrets.token_hex(8)
        ignore = ignore_patterns(source.context.directory, request)
        options = replace(request.options, ignore=ignore, build=build)
        trees = {**request.contexts, CONTEXT: replace(source.context, ignore=ignore)}
        brought = Brought(
            {f"{build}:{name}": tree for name, tree in trees.items()},
            request.secrets,
            request.agents,
            bases.lock,
            imported.restore_mount if imported else lambda name, path: False,
            bases.absent,
        )
        platforms = request.platforms or (options.platform,)
        self._executor.brought[build] = brought
        try:
            yield [lower(source.file, replace(options, platform=item), bases) for item in platforms]
        finally:
            del self._executor.brought[build]
            for directory in brought.fetched:
                self.engine.trash.discard(directory)

    @staticmethod
    def _solve(
        solver: Solver[Tree],
        targets: Sequence[Target],
        report: Callable[[Progress], None],
        cancelled: threading.Event,
        imported: ImportedCache | None = None,
    ) -> Solution[Tree]:
        tops = [target.vertex for target in targets if target.vertex is not None]
        return solver.solve(tops, report, cancelled, imported)

    def _images(self, targets: Sequence[Target], solution: Solution[Tree], request: BuildRequest) -> list[ImageRecord]:
        inline = any(place.kind == "inline" for place in request.exports)
        images = []
        for target in targets:
            tree = _tree(target, solution)
            extra: dict[str, Any] = {}
            if inline:
                kept = [step for step, _ in steps_of(solution.steps, [tree], everything=False)]
                extra = inline_records(kept, tree.diff_ids)
            images.append(finished(self.engine, target, tree, extra))
        if len(images) > 1:
            same_platforms(images)
        return images

    def _verify(
        self,
        source: _Source,
        request: BuildRequest,
        images: Sequence[ImageRecord],
        cancelled: threading.Event,
        lock: SourceLock,
    ) -> Iterator[str]:
        """The same build again, in another directory, of files of another owner, without the cache."""
        with self._second_copy(source.context.directory) as directory:
            options = replace(request.options, no_cache=frozenset({"*"}))
            again = replace(request, options=options)
            fixed = SourceLock(dict(lock.taken))
            solver: Solver[Tree] = Solver(self._executor, _Forgetful(), WORKERS)
            try:
                other = _Source(Tree(directory=directory), source.file)
                with self._run(other, Bases(self.engine, again, fixed), None) as targets:
                    solution = self._solve(solver, targets, lambda progress: None, cancelled)
                    others = self._images(targets, solution, request)
            finally:
                solver.close()
            count = 0
            for first, second in zip(images, others, strict=True):
                for line in differences(self.engine, first, second):
                    count += 1
                    if count <= MAX_LINES:
                        yield line
            if count > MAX_LINES:
                yield f"and {count - MAX_LINES} more"

    @contextlib.contextmanager
    def _second_copy(self, directory: str) -> Iterator[str]:
        top = os.path.join(self._root, "contexts", secrets.token_hex(8))
        copy = os.path.join(top, "another", "place")
        try:
            shutil.copytree(directory, copy, symlinks=True)
            for where, names, files in os.walk(copy):
                for name in (*names, *files):
                    mode = os.lstat(os.path.join(where, name)).st_mode
                    os.lchown(os.path.join(where, name), OTHER_OWNER, OTHER_OWNER)
                    if not os.path.islink(os.path.join(where, name)):
                        os.chmod(os.path.join(where, name), mode & 0o7777)
            yield copy
        finally:
            self.engine.trash.discard(top)

    def entries(self) -> list[CacheEntry]:
        """The build cache as people see it."""
        return self.cache.entries()

    def prune(self, filters: Filters, space: Space, *, everything: bool) -> tuple[list[str], int]:
        """Forget cached steps that nothing uses; keys and bytes. Raises Invalid for a bad filter."""
        question = wanted(filters, everything=everything, now=time.time())
        disk = os.statvfs(self._root)
        if everything and not filters:
            self.kept.drop_all()
            self.small.drop_all()
        return self.cache.prune(question, space, disk.f_bavail * disk.f_frsize)


class _Forgetful(Nothing[Tree]):
    """A cache that keeps nothing."""

    def put(self, key: object, result: Tree, vertex: object, parents: object) -> None:
        """Forget it."""


def _tree(target: Target, solution: Solution[Tree]) -> Tree:
    found: Mapping[int, Tree] = {id(vertex): solved.result for vertex, solved in solution.steps}
    return found[id(target.vertex)] if target.vertex is not None else EMPTY


def _any_here(engine: Engine, request: BuildRequest) -> bool:
    """Whether one of the places to take from is no name of an image, or that image is here: its steps are in the
    cache anyway."""
    for place in request.imports:
        if place.kind != "image" or place.reference is None:
            return True
        with contextlib.suppress(WharfError):
            engine.images.resolve(place.reference.familiar())
            return True
    return False
