"""Many at once, and nothing left of any of them."""

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.system.runtime.conftest import Lab
from wharf.runtime.requests import StartFailed

SETTLE_SECONDS = 5.0
"""The supervisor's reader closes what belonged to an ended monitor in a thread of its own."""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def settled(limit: int) -> int:
    """How many descriptors are open once they are no more than `limit`, or after a while."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while descriptors() > limit and time.monotonic() < deadline:
        time.sleep(0.02)
    return descriptors()


def test_many_threads_start_and_end_containers(lab: Lab) -> None:
    lab.shell("true")
    before = descriptors()

    def one(number: int) -> tuple[int, str]:
        record, out = lab.run(["sh", "-c", f"echo {number}; exit {number % 7}"])
        return record.code, out

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(40)))
    assert results == [(number % 7, f"{number}\n") for number in range(40)]
    assert lab.supervisor.live() == []
    assert settled(before) <= before


def test_failures_and_aborts_leak_nothing(lab: Lab) -> None:
    warm = lab.start(["sleep", "1000"])
    lab.exec(warm, ["true"])  # from the first on a monitor waits for the next
    warm.kill_all()
    warm.wait(10)
    before = descriptors()
    for _ in range(5):
        with pytest.raises(StartFailed):
            lab.run(["nope"])
        lab.prepare(["true"]).abort()
    running = lab.start(["sleep", "1000"])
    for _ in range(5):
        lab.exec(running, ["true"])
        with pytest.raises(StartFailed):
            lab.exec(running, ["nope"])
    running.kill_all()
    running.wait(10)
    assert lab.supervisor.live() == []
    gc.collect()  # the streams of the failed runs
    assert settled(before) <= before
