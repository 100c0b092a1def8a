"""Restart policies with real processes: how soon, how often, and what a person or the daemon's end changes."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.events import Events
from tests.support.wharfd import Wharfd

FIRST, SECOND, THIRD = 0.1, 0.2, 0.4
"""Seconds before the first restarts of a container that ends at once."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        yield started


def inspect(daemon: Wharfd, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.docker("inspect", name).stdout)[0]
    return found


def run(daemon: Wharfd, name: str, policy: str, script: str) -> None:
    daemon.docker("run", "-d", "--name", name, "--restart", policy, "busybox", "sh", "-c", script)


def stamp(event: dict[str, Any]) -> float:
    return int(event["timeNano"]) / 1e9


def test_each_restart_waits_twice_as_long(daemon: Wharfd) -> None:
    with Events(daemon, "container=loops", "event=start", "event=die") as events:
        run(daemon, "loops", "always", "test -e /stay && exec sleep 1000; exit 7")
        turns = [(events.next(), events.next()) for _ in range(4)]
    gaps = [stamp(after[0]) - stamp(before[1]) for before, after in itertools.pairwise(turns)]
    for gap, least in zip(gaps, (FIRST, SECOND, THIRD), strict=True):
        assert least <= gap < least + 5.0, gaps
    assert {turn[1]["Actor"]["Attributes"]["exitCode"] for turn in turns} == {"7"}
    daemon.docker("stop", "-t", "0", "loops")
    state = inspect(daemon, "loops")
    assert state["RestartCount"] >= 3
    assert (state["State"]["Status"], state["State"]["Restarting"]) == ("exited", False)
    daemon.docker("cp", "/etc/hostname", "loops:/stay")
    daemon.docker("start", "loops")  # a person's start counts from the beginning
    assert inspect(daemon, "loops")["RestartCount"] == 0
    daemon.docker("rm", "-f", "loops")


def test_on_failure_leaves_success_alone(daemon: Wharfd) -> None:
    with Events(daemon, "container=works", "event=start", "event=die") as events:
        run(daemon, "works", "on-failure", "test -e /done || { touch /done; exit 3; }")
        codes = [events.next()["Actor"]["Attributes"].get("exitCode") for _ in range(4)]
    assert codes == [None, "3", None, "0"]
    state = inspect(daemon, "works")
    assert (state["State"]["Status"], state["RestartCount"]) == ("exited", 1)
    daemon.docker("rm", "works")


def test_a_kill_by_hand_is_no_failure(daemon: Wharfd) -> None:
    run(daemon, "killed", "unless-stopped", "exec sleep 1000")
    daemon.docker("kill", "killed")
    assert inspect(daemon, "killed")["State"]["Status"] == "exited"
    daemon.docker("rm", "killed")


def test_after_the_daemon_was_started_again() -> None:
    with Wharfd("--live-restore=false") as daemon:
        daemon.load_busybox()
        for policy in ("no", "always", "unless-stopped", "on-failure"):
            run(daemon, policy, policy, "exec sleep 1000")
        for policy in ("always", "unless-stopped"):
            run(daemon, f"{policy}-by-hand", policy, "exec sleep 1000")
            daemon.docker("stop", "-t", "0", f"{policy}-by-hand")
        assert daemon.stop() == 0  # takes the containers along: they end by SIGTERM's code, not by hand
        daemon.start()
        wanted = {"always", "unless-stopped", "on-failure", "always-by-hand"}
        with Events(daemon, "event=start") as events:
            while set(daemon.docker("ps", "--format", "{{.Names}}").stdout.split()) != wanted:
                events.next()
        assert inspect(daemon, "no")["State"]["Status"] == "exited"
        assert inspect(daemon, "unless-stopped-by-hand")["State"]["Status"] == "exited"
