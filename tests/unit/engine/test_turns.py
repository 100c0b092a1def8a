"""Work that never runs twice at once."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from wharf.engine.turns import Turns


class Later(Executor):
    """Keeps what is submitted until the test runs it."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        del args, kwargs
        self.waiting.append(fn)
        return Future()

    def run_one(self) -> None:
        """The oldest."""
        self.waiting.pop(0)()


class Closed(Executor):
    """A pool that was shut down."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        raise RuntimeError("cannot schedule new futures after shutdown")


class Work:
    """Says that it was done, and after all its `answers` that nothing is left."""

    def __init__(self, pool: Executor, *answers: bool) -> None:
        self.said: list[str] = []
        self.answers = list(answers)
        self.during: Callable[[], None] = lambda: None
        self.turns = Turns(pool, self.do, lambda: self.said.append("last"))

    def do(self) -> bool:
        """One turn."""
        self.said.append("work")
        self.during()
        return self.answers.pop(0) if self.answers else False


def test_what_is_asked_before_a_turn_is_one_turn_and_during_it_one_more() -> None:
    pool = Later()
    work = Work(pool)

    def twice() -> None:
        work.during = lambda: None
        work.turns.ask()
        work.turns.ask()
        assert not pool.waiting

    work.during = twice
    work.turns.ask()
    assert len(pool.waiting) == 1
    pool.run_one()
    assert len(pool.waiting) == 1
    pool.run_one()
    assert not pool.waiting and work.said == ["work", "work"]


def test_work_with_more_to_do_lets_others_go_first() -> None:
    pool = Later()
    work = Work(pool, True)
    work.turns.ask()
    pool.waiting.append(lambda: work.said.append("other"))
    while pool.waiting:
        pool.run_one()
    assert work.said == ["work", "other", "work"]


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_the_last_word_comes_once_and_after_the_turn_that_is_on(asked: int) -> None:
    pool = Later()
    work = Work(pool, True)
    for _ in range(asked):
        work.turns.ask()
    work.turns.stop()
    assert work.turns.stopped and work.said == ([] if asked else ["last"])
    while pool.waiting:
        pool.run_one()
    work.turns.stop()
    work.turns.ask()
    assert not pool.waiting and work.said == ["work"] * bool(asked) + ["last"]


def test_a_stop_from_within_the_work() -> None:
    pool = Later()
    work = Work(pool, True)
    work.during = work.turns.stop
    work.turns.ask()
    pool.run_one()
    assert work.said == ["work", "last"] and not pool.waiting


def test_a_pool_that_is_closed_runs_nothing_and_keeps_nobody_waiting() -> None:
    work = Work(Closed())
    work.turns.ask()
    assert not work.said
    work.turns.stop()
    assert work.said == ["last"]


def test_no_ask_of_many_threads_is_lost_and_no_two_turns_meet() -> None:
    inside, all_seen = threading.Lock(), threading.Event()
    asked: list[None] = []

    def do() -> bool:
        assert inside.acquire(blocking=False)
        if len(asked) == 4 * 500:
            all_seen.set()
        inside.release()
        return False

    def ask() -> None:
        for _ in range(500):
            asked.append(None)
            turns.ask()

    with ThreadPoolExecutor(8) as pool:
        turns = Turns(pool, do, lambda: None)
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all_seen.wait(10)
