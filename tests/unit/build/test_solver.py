"""The solver with operations that only count: no container, no file."""

import threading
from collections.abc import Sequence

import pytest

from wharf.build.graph import Exec, ImageSource, LocalSource, Vertex, digest_of, walk
from wharf.build.solver.solver import Cancelled, Job, Progress, Solver
from wharf.errors import Invalid
from wharf.spec.digest import Digest


class Counting:
    """Results are texts; `contents` are those of local sources, by name."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.contents: dict[str, str] = {}
        self.lock = threading.Lock()
        self.hold: dict[str, threading.Event] = {}
        self.began: dict[str, threading.Event] = {}

    def content(self, vertex: Vertex, index: int, result: str) -> Digest | None:
        below = vertex.inputs[index]
        return digest_of(result) if below and isinstance(below.op, LocalSource) else None

    def cacheable(self, vertex: Vertex) -> bool:
        return isinstance(vertex.op, Exec)

    def instant(self, vertex: Vertex) -> bool:
        return isinstance(vertex.op, LocalSource)

    def run(self, vertex: Vertex, inputs: Sequence[str | None], job: Job) -> str:
        if isinstance(vertex.op, LocalSource):
            return self.contents.get(vertex.op.name, "")
        if isinstance(vertex.op, ImageSource):
            return vertex.op.image_id
        assert isinstance(vertex.op, Exec)
        name = vertex.op.argv[0]
        if name in self.began:
            self.began[name].set()
        if name in self.hold:
            while not self.hold[name].wait(0.01):
                job.check()
        with self.lock:
            self.ran.append(name)
        if name == "fail":
            raise Invalid("it failed")
        return f"{name}({','.join(item or '-' for item in inputs)})"


class Kept:
    def __init__(self) -> None:
        self.results: dict[Digest, str] = {}

    def get(self, key: Digest) -> str | None:
        return self.results.get(key)

    def put(self, key: Digest, result: str, vertex: Vertex, parents: Sequence[Digest]) -> None:
        self.results[key] = result


@pytest.fixture
def ops() -> Counting:
    return Counting()


@pytest.fixture
def solver(ops: Counting) -> Solver[str]:
    return Solver(ops, Kept(), 4)


def step(name: str, *inputs: Vertex | None, ignore_cache: bool = False) -> Vertex:
    return Vertex(Exec((name,), (), "/", ""), inputs, name, ignore_cache=ignore_cache)


BASE = Vertex(ImageSource("base", "sha256:b"), (), "base")
CONTEXT = Vertex(LocalSource("context"), (), "context")


def test_a_chain_runs_in_order_and_once(solver: Solver[str], ops: Counting) -> None:
    top = step("c", step("b", step("a", BASE)))
    (solved,) = solver.solve([top]).tops
    assert (solved.result, ops.ran) == ("c(b(a(sha256:b)))", ["a", "b", "c"])
    (again,) = solver.solve([step("c", step("b", step("a", BASE)))]).tops
    assert again.cached and again.result == solved.result and len(ops.ran) == 3


def test_what_the_cache_has_wakes_no_thread(solver: Solver[str], ops: Counting) -> None:
    solver.solve([step("b", step("a", CONTEXT))])
    told: list[tuple[str, int]] = []
    solver.solve([step("b", step("a", CONTEXT))], lambda item: told.append((item.kind, threading.get_ident())))
    here = threading.get_ident()
    assert told == [("started", here), ("done", here), ("cached", here), ("cached", here)]


def test_an_error_here_and_now_ends_the_build_as_one_of_a_thread_does(solver: Solver[str], ops: Counting) -> None:
    def content(vertex: Vertex, index: int, result: str) -> Digest | None:
        raise Invalid("no such file")

    ops.content = content  # type: ignore[method-assign]
    told: list[str] = []
    with pytest.raises(Invalid, match="no such file"):
        solver.solve([step("a", CONTEXT)], lambda item: told.append(item.kind))
    assert told == ["started", "done", "error"] and not ops.ran


def test_a_shared_input_runs_once(solver: Solver[str], ops: Counting) -> None:
    low = step("low", BASE)
    solver.solve([step("top", step("left", low), step("right", low))])
    assert sorted(ops.ran) == ["left", "low", "right", "top"]


def test_an_equal_step_of_another_graph_runs_once_too(solver: Solver[str], ops: Counting) -> None:
    solver.solve([step("x", BASE), step("x", BASE)])
    assert ops.ran == ["x"]


def test_the_cache_goes_by_content_not_by_name(solver: Solver[str], ops: Counting) -> None:
    ops.contents["context"] = "one"
    solver.solve([step("copy", BASE, CONTEXT)])
    solver.solve([step("copy", BASE, CONTEXT)])
    assert ops.ran == ["copy"]
    ops.contents["context"] = "two"
    solver.solve([step("copy", BASE, CONTEXT)])
    assert ops.ran == ["copy", "copy"]


def test_a_change_below_reaches_what_is_above(solver: Solver[str], ops: Counting) -> None:
    solver.solve([step("b", step("a", BASE))])
    solver.solve([step("b", step("other", BASE))])
    assert ops.ran == ["a", "b", "other", "b"]


def test_ignore_cache_runs_again_and_keeps_the_new_result(solver: Solver[str], ops: Counting) -> None:
    solver.solve([step("a", BASE)])
    solver.solve([step("a", BASE, ignore_cache=True)])
    assert ops.ran == ["a", "a"]


def test_independent_steps_overlap(solver: Solver[str], ops: Counting) -> None:
    names = ("p", "q", "r")
    for name in names:
        ops.began[name], ops.hold[name] = threading.Event(), threading.Event()
    thread = threading.Thread(target=solver.solve, args=([step("top", *(step(name, BASE) for name in names))],))
    thread.start()
    assert all(ops.began[name].wait(10) for name in names)
    for name in names:
        ops.hold[name].set()
    thread.join(10)
    assert ops.ran[-1] == "top"


def test_two_builds_share_one_run(solver: Solver[str], ops: Counting) -> None:
    ops.began["slow"], ops.hold["slow"] = threading.Event(), threading.Event()
    results: list[str] = []
    joined = threading.Event()

    def build(report_joined: bool) -> None:
        def report(progress: Progress) -> None:
            if report_joined and progress.kind == "started" and progress.vertex.title == "slow":
                joined.set()

        results.append(solver.solve([step("slow", BASE)], report).tops[0].result)

    first = threading.Thread(target=build, args=(False,))
    first.start()
    assert ops.began["slow"].wait(10)
    second = threading.Thread(target=build, args=(True,))
    second.start()
    assert joined.wait(10)
    ops.hold["slow"].set()
    first.join(10)
    second.join(10)
    assert (ops.ran, results) == (["slow"], ["slow(sha256:b)"] * 2)


def test_one_build_given_up_does_not_take_the_other_with_it(solver: Solver[str], ops: Counting) -> None:
    ops.began["slow"], ops.hold["slow"] = threading.Event(), threading.Event()
    given_up, joined = threading.Event(), threading.Event()
    ends: list[object] = []

    def first() -> None:
        try:
            solver.solve([step("slow", BASE)], cancelled=given_up)
        except Cancelled as error:
            ends.append(error)

    def second() -> None:
        ends.append(solver.solve([step("slow", BASE)], lambda progress: joined.set()).tops[0].result)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert ops.began["slow"].wait(10)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    assert joined.wait(10)
    ops.began["slow"].clear()
    given_up.set()
    assert ops.began["slow"].wait(10)  # the second build runs it now
    ops.hold["slow"].set()
    for thread in threads:
        thread.join(10)
    assert len(ends) == 2  # whichever ended first
    assert "slow(sha256:b)" in ends and any(isinstance(end, Cancelled) for end in ends)


def test_a_failure_ends_the_build_and_is_told_once(solver: Solver[str], ops: Counting) -> None:
    told: list[tuple[str, str]] = []
    with pytest.raises(Invalid, match="it failed"):
        solver.solve(
            [step("after", step("fail", BASE))],
            lambda progress: told.append((progress.kind, progress.vertex.title)),
        )
    assert [title for kind, title in told if kind == "error"] == ["fail"] and "after" not in ops.ran


def test_a_failed_step_is_not_remembered(solver: Solver[str], ops: Counting) -> None:
    for _ in range(2):
        with pytest.raises(Invalid):
            solver.solve([step("fail", BASE)])
    assert ops.ran == ["fail", "fail"]


def test_a_deep_graph_needs_no_deep_stack(solver: Solver[str], ops: Counting) -> None:
    top = BASE
    for number in range(3000):
        top = step(str(number), top)
    assert sum(1 for _ in walk(top)) == 3001


def test_kinds_with_equal_fields_differ() -> None:
    from wharf.build.graph import Files, Mkdir, Mkfile

    one = Vertex(Files((Mkdir("/a"),)), (None,), "")
    other = Vertex(Files((Mkfile("/a", ""),)), (None,), "")
    assert one.digest != other.digest
