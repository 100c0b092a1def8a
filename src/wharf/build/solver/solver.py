"""The solver: vertices to results, in parallel, each once, from the cache where it can.

    key of a vertex = its operation + for each input its key, or the content that is used of it

Independent vertices run side by side on a pool; a step that two builds want at once runs once, and both get its
result. It knows nothing of files, containers or Dockerfiles: `Executor` does the work, `Cache` remembers it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from wharf.build.graph import Vertex, walk
from wharf.errors import Unavailable, WharfError
from wharf.spec.digest import Digest

R = TypeVar("R")
S = TypeVar("S", covariant=True)
T = TypeVar("T")


class Cancelled(Unavailable):
    """The build was given up: its client went away, or another of its steps failed."""


class Executor(Protocol[R]):
    """What operations mean."""

    def content(self, vertex: Vertex, index: int, result: R) -> Digest | None:
        """What the vertex uses of its input `index`, by content; None where the input's own key says enough."""

    def run(self, vertex: Vertex, inputs: Sequence[R | None], job: "Job") -> R:
        """Do it; raises WharfError."""

    def cacheable(self, vertex: Vertex) -> bool:
        """Whether the result may be kept for other builds; sources are not, what they give is there already."""

    def instant(self, vertex: Vertex) -> bool:
        """Whether it is done without waiting for anything, so that no thread need be woken for it."""


class Cache(Protocol[R]):
    """Results by key."""

    def get(self, key: Digest) -> R | None:
        """A result that can still be used."""

    def put(self, key: Digest, result: R, vertex: Vertex, parents: Sequence[Digest]) -> None:
        """Remember one; `parents` are the keys of the cacheable steps that it was made of."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What happens to a vertex: `started`, `cached`, `done`, `error` or `log`; `data` is a log's bytes."""

    vertex: Vertex
    kind: str
    data: bytes = b""
    stream: int = 1
    message: str = ""


@dataclass(slots=True)
class Job:
    """What a running operation may tell and ask."""

    vertex: Vertex
    report: Callable[[Progress], None]
    cancelled: threading.Event

    def log(self, data: bytes, stream: int = 1) -> None:
        """Output of the step: 1 standard output, 2 standard error."""
        self.report(Progress(self.vertex, "log", data, stream))

    def check(self) -> None:
        """Raises Cancelled when there is no use in going on."""
        if self.cancelled.is_set():
            raise Cancelled("the build was cancelled")


@dataclass(slots=True)
class Solved(Generic[R]):
    """A result with the key it is known by; `kept` where the cache has it."""

    key: Digest
    result: R
    cached: bool
    kept: bool = True


class Imported(Protocol[S]):
    """A cache that one build brought along."""

    def get(self, key: Digest) -> S | None:
        """A result, made ready for use here."""


class Nothing(Generic[R]):
    """No cache was brought along."""

    def get(self, key: Digest) -> R | None:
        """Never anything."""
        return None


@dataclass(slots=True)
class _Shared(Generic[R]):
    """One run of a key, for all builds that want it."""

    done: Future[R] = field(default_factory=Future)


@dataclass(slots=True)
class Solution(Generic[R]):
    """The results of what was asked for, and all that were made on the way, in the order in which they ended."""

    tops: list[Solved[R]]
    steps: list[tuple[Vertex, Solved[R]]]


def _ended(result: Solved[R] | None = None, error: BaseException | None = None) -> "Future[Solved[R]]":
    """What is over already, as a future."""
    future: Future[Solved[R]] = Future()
    if error is not None:
        future.set_exception(error)
    elif result is not None:
        future.set_result(result)
    return future


def _parents(inputs: "Sequence[Solved[R] | None]") -> list[Digest]:
    return [item.key for item in inputs if item is not None and item.kept]


class Solver(Generic[R]):
    """Shared by all builds of an engine."""

    def __init__(self, executor: Executor[R], cache: Cache[R], workers: int) -> None:
        self._executor = executor
        self._cache = cache
        self._pool = ThreadPoolExecutor(workers, "build")
        self._running: dict[Digest, _Shared[R]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Wait for what runs; nothing new begins."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def solve(
        self,
        tops: Sequence[Vertex],
        report: Callable[[Progress], None] = lambda progress: None,
        cancelled: threading.Event | None = None,
        imported: "Imported[R] | None" = None,
    ) -> "Solution[R]":
        """The results of `tops`. Raises what the first failing step raised, after those under way have ended."""
        build = _Build(self, report, cancelled or threading.Event(), imported or Nothing())
        return build.run(tops)

    def at_once(self, vertex: Vertex, inputs: Sequence[Solved[R] | None], job: Job) -> Solved[R] | Digest | None:
        """What there is without work: an instant operation's result, or one that the cache has; else its key."""
        if not self._executor.cacheable(vertex):
            return self.one(vertex, inputs, job, Nothing()) if self._executor.instant(vertex) else None
        key = self._key(vertex, inputs)
        found = None if vertex.ignore_cache else self._cache.get(key)
        if found is None:
            return key
        job.report(Progress(vertex, "cached"))
        return Solved(key, found, cached=True)

    def one(
        self,
        vertex: Vertex,
        inputs: Sequence[Solved[R] | None],
        job: Job,
        imported: "Imported[R]",
        key: Digest | None = None,
    ) -> Solved[R]:
        """One vertex whose inputs are there; `key` where it is known."""
        key = key or self._key(vertex, inputs)
        if not self._executor.cacheable(vertex):
            job.report(Progress(vertex, "started"))
            result = self._executor.run(vertex, [item.result if item else None for item in inputs], job)
            job.report(Progress(vertex, "done"))
            return Solved(key, result, cached=False, kept=False)
        if vertex.ignore_cache:
            return Solved(key, self._run(vertex, key, inputs, job), cached=False)
        while True:
            found = self._cache.get(key)
            if found is None:
                found = imported.get(key)
                if found is not None:
                    self._cache.put(key, found, vertex, _parents(inputs))
            if found is not None:
                job.report(Progress(vertex, "cached"))
                return Solved(key, found, cached=True)
            with self._lock:
                shared = self._running.get(key)
                mine = shared is None
                if shared is None:
                    shared = self._running[key] = _Shared()
            if mine:
                return self._run_shared(vertex, key, inputs, job, shared)
            joined = self._join(shared, vertex, job)
            if joined is not None:
                return Solved(key, joined, cached=False)

    def _run_shared(
        self, vertex: Vertex, key: Digest, inputs: Sequence[Solved[R] | None], job: Job, shared: _Shared[R]
    ) -> Solved[R]:
        try:
            result = self._run(vertex, key, inputs, job)
        except BaseException as error:
            with self._lock:
                del self._running[key]
            shared.done.set_exception(error)
            raise
        with self._lock:
            del self._running[key]
        shared.done.set_result(result)
        return Solved(key, result, cached=False)

    def _join(self, shared: _Shared[R], vertex: Vertex, job: Job) -> R | None:
        """The result of a run that another build began; None when that one was given up: then it is our turn."""
        job.report(Progress(vertex, "started"))
        while not shared.done.done():
            wait([shared.done], timeout=0.2)
            job.check()
        try:
            result = shared.done.result()
        except Cancelled:
            return None
        job.report(Progress(vertex, "done"))
        return result

    def _run(self, vertex: Vertex, key: Digest, inputs: Sequence[Solved[R] | None], job: Job) -> R:
        job.check()
        job.report(Progress(vertex, "started"))
        result = self._executor.run(vertex, [item.result if item else None for item in inputs], job)
        self._cache.put(key, result, vertex, _parents(inputs))
        job.report(Progress(vertex, "done"))
        return result

    def _key(self, vertex: Vertex, inputs: Sequence[Solved[R] | None]) -> Digest:
        parts: list[list[str]] = []
        for index, item in enumerate(inputs):
            if item is None:
                parts.append(["scratch"])
                continue
            content = self._executor.content(vertex, index, item.result)
            parts.append(["content", str(content)] if content else ["key", str(item.key)])
        return vertex.key(parts)

    def instant(self, vertex: Vertex) -> bool:
        """Whether a vertex needs no thread."""
        return self._executor.instant(vertex)

    def submit(self, work: Callable[[], Solved[R]]) -> "Future[Solved[R]]":
        """On the pool that all builds share."""
        return self._pool.submit(work)


class _Build(Generic[R]):
    """One call of solve: which vertices are done, which run."""

    def __init__(
        self,
        solver: Solver[R],
        report: Callable[[Progress], None],
        cancelled: threading.Event,
        imported: Imported[R],
    ) -> None:
        self._solver = solver
        self._report = report
        self._cancelled = cancelled
        self._imported = imported
        self._stop = threading.Event()
        self._solved: dict[int, Solved[R]] = {}

    def run(self, tops: Sequence[Vertex]) -> "Solution[R]":
        waiting = {id(vertex): vertex for top in tops for vertex in walk(top)}
        needed: dict[int, list[int]] = {}
        missing: dict[int, int] = {}
        for key, vertex in waiting.items():
            below = {id(item) for item in vertex.inputs if item is not None}
            missing[key] = len(below)
            for item in below:
                needed.setdefault(item, []).append(key)
        running: dict[Future[Solved[R]], int] = {}
        failure: BaseException | None = None
        ready = [key for key, count in missing.items() if not count]
        while ready or running:
            while ready and failure is None:
                key = ready.pop(0)
                future = self._begin(waiting[key], alone=not ready and not running)
                running[future] = key
                if future.done():
                    break
            if not running:
                break
            done = {future for future in running if future.done()}
            if not done:
                done, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
            if self._cancelled.is_set():
                self._stop.set()
            for future in done:
                key = running.pop(future)
                error = future.exception()
                if error is not None:
                    failure = failure if failure and not isinstance(failure, Cancelled) else error
                    self._stop.set()
                    continue
                self._solved[key] = future.result()
                for above in needed.get(key, ()):
                    missing[above] -= 1
                    if not missing[above]:
                        ready.append(above)
        if failure is not None:
            raise failure
        steps = [(waiting[key], solved) for key, solved in self._solved.items()]
        return Solution([self._solved[id(top)] for top in tops], steps)

    def _begin(self, vertex: Vertex, *, alone: bool) -> "Future[Solved[R]]":
        """On the pool; here and now what is there already, while nothing else could be done meanwhile."""
        inputs = [self._solved[id(item)] if item is not None else None for item in vertex.inputs]
        job = Job(vertex, self._report, self._stop)
        key: Digest | None = None
        if alone or self._solver.instant(vertex):
            try:
                found = self._told(job, lambda: self._solver.at_once(vertex, inputs, job))()
            except Exception as error:
                return _ended(error=error)
            if isinstance(found, Solved):
                return _ended(found)
            key = found
        work = self._told(job, lambda: self._solver.one(vertex, inputs, job, self._imported, key))
        return self._solver.submit(work)

    def _told(self, job: Job, call: Callable[[], T]) -> Callable[[], T]:
        """The call, and what it raises is told."""

        def work() -> T:
            try:
                job.check()
                return call()
            except Cancelled:
                raise
            except (WharfError, OSError) as error:
                self._report(Progress(job.vertex, "error", message=str(error)))
                raise

        return work
