"""Health checks with real processes: docs/flow-health.md."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.events import Events
from tests.support.wharfd import Wharfd

FAST = ("--health-interval", "100ms", "--health-retries", "2")
WATCHED = ("event=health_status",)
LOG_LENGTH = 5


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        yield started


def run(daemon: Wharfd, name: str, *flags: str) -> None:
    daemon.docker("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")


def health(daemon: Wharfd, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.docker("inspect", "-f", "{{json .State.Health}}", name).stdout)
    return found


def named(daemon: Wharfd, state: str) -> set[str]:
    return set(daemon.docker("ps", "-a", "--filter", f"health={state}", "--format", "{{.Names}}").stdout.split())


def test_from_unhealthy_to_healthy_and_to_its_end(daemon: Wharfd) -> None:
    with Events(daemon, *WATCHED, "container=turns") as events:
        run(daemon, "turns", *FAST, "--health-cmd", "echo out; echo err >&2; test -e /ok")
        assert events.action() == "health_status: unhealthy"
        found = health(daemon, "turns")
        assert found["Status"] == "unhealthy"
        assert found["FailingStreak"] >= 2
        result = found["Log"][-1]
        assert sorted(result["Output"].split()) == ["err", "out"]
        assert (result["ExitCode"], result["Start"] < result["End"]) == (1, True)
        assert "turns" in named(daemon, "unhealthy")
        assert " (unhealthy)" in daemon.docker("ps", "--filter", "name=turns", "--format", "{{.Status}}").stdout
        daemon.docker("exec", "turns", "touch", "/ok")
        assert events.action() == "health_status: healthy"
        assert "turns" in named(daemon, "healthy")
    daemon.docker("pause", "turns")  # who is not checked is unhealthy, as in Docker
    assert health(daemon, "turns")["Status"] == "unhealthy"
    with Events(daemon, *WATCHED, "container=turns") as events:
        daemon.docker("unpause", "turns")
        assert events.action() == "health_status: healthy"
    daemon.docker("stop", "-t", "0", "turns")
    ended = health(daemon, "turns")
    assert ended["Status"] == "unhealthy"
    assert 0 < len(ended["Log"]) <= LOG_LENGTH
    with Events(daemon, *WATCHED, "container=turns") as events:
        daemon.docker("start", "turns")
        assert events.action() == "health_status: healthy"
    daemon.docker("rm", "-f", "turns")


def test_a_probe_is_an_exec_with_events_and_leaves_none(daemon: Wharfd) -> None:
    with Events(daemon, "container=told", "type=container") as events:
        run(daemon, "told", "--health-interval", "100ms", "--health-cmd", "true")
        assert events.until("health_status: healthy") == [
            "create", "start", "exec_create: /bin/sh -c true", "exec_start: /bin/sh -c true", "exec_die",
            "health_status: healthy",
        ]  # fmt: skip
    daemon.docker("stop", "-t", "0", "told")
    assert daemon.docker("inspect", "-f", "{{.ExecIDs}}", "told").stdout.strip() == "[]"
    daemon.docker("rm", "told")


def test_the_check_of_the_image_and_none(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "base", "busybox", "true")
    change = 'HEALTHCHECK --interval=100ms --retries=1 CMD ["test", "-e", "/marker"]'
    daemon.docker("commit", "--change", change, "base", "checked")
    with Events(daemon, *WATCHED, "container=inherits") as events:
        daemon.docker("run", "-d", "--name", "inherits", "checked", "sleep", "1000")
        assert events.action() == "health_status: unhealthy"
    daemon.docker("run", "-d", "--name", "without", "--no-healthcheck", "checked", "sleep", "1000")
    assert health(daemon, "without") is None
    assert "without" in named(daemon, "none")
    assert daemon.docker("ps", "--filter", "name=without", "--format", "{{.Status}}").stdout.count("(") == 0
    daemon.docker("rm", "-f", "base", "inherits", "without")


def test_a_check_that_takes_too_long_is_ended_with_what_it_started(daemon: Wharfd) -> None:
    with Events(daemon, *WATCHED, "container=slow") as events:
        run(
            daemon, "slow", "--health-interval", "100ms", "--health-retries", "1", "--health-timeout", "300ms",
            "--health-cmd", "yes | head -c 9000; sleep 555 & sleep 555",
        )  # fmt: skip
        assert events.action() == "health_status: unhealthy"
    daemon.docker("pause", "slow")
    result = health(daemon, "slow")["Log"][0]
    assert result["ExitCode"] == -1
    assert result["Output"].startswith("Health check exceeded timeout (300ms): y\n")
    assert result["Output"].endswith("\n...")
    assert len(result["Output"]) < 4200
    processes = daemon.docker("top", "slow").stdout
    assert processes.count("sleep 555") <= 2, "what an ended check had started is still there"
    daemon.docker("rm", "-f", "slow")


def test_a_check_that_cannot_start_says_why(daemon: Wharfd) -> None:
    with Events(daemon, *WATCHED, "container=nothere") as events:
        daemon.docker("create", "--name", "base", "busybox", "true")
        daemon.docker("commit", "--change", 'HEALTHCHECK --interval=100ms --retries=1 CMD ["nope"]', "base", "nope")
        daemon.docker("run", "-d", "--name", "nothere", "nope", "sleep", "1000")
        assert events.action() == "health_status: unhealthy"
    result = health(daemon, "nothere")["Log"][0]
    assert result["ExitCode"] == -1
    assert 'exec: "nope": executable file not found in $PATH' in result["Output"]
    daemon.docker("rm", "-f", "base", "nothere")


def test_the_start_period_and_its_interval(daemon: Wharfd) -> None:
    with Events(daemon, *WATCHED, "container=starts") as events:
        run(
            daemon, "starts", "--health-interval", "10m", "--health-retries", "1", "--health-start-period", "10m",
            "--health-start-interval", "50ms", "--health-cmd", "echo x >>/tries; test $(wc -l </tries) -ge 4",
        )  # fmt: skip
        assert events.action() == "health_status: healthy"
    found = health(daemon, "starts")
    assert [item["ExitCode"] for item in found["Log"]] == [1, 1, 1, 0]
    daemon.docker("rm", "-f", "starts")


def test_killed_wharfd_goes_on_checking_and_ends_what_hung() -> None:
    with Wharfd() as daemon:
        daemon.load_busybox()
        script = "if test -e /hang; then touch /hangs; exec sleep 777; fi"
        with Events(daemon, *WATCHED) as events:
            run(daemon, "kept", "--health-interval", "100ms", "--health-timeout", "10m", "--health-cmd", script)
            assert events.action() == "health_status: healthy"
        daemon.docker("exec", "kept", "touch", "/hang")
        daemon.docker("exec", "kept", "sh", "-c", "until test -e /hangs; do sleep 0.05; done")
        assert "sleep 777" in daemon.docker("top", "kept").stdout
        daemon.docker("exec", "kept", "rm", "/hang")
        daemon.kill()
        daemon.start()
        assert health(daemon, "kept")["Status"] == "healthy"
        with Events(daemon, "container=kept", "event=exec_die") as events:
            events.next()
        assert "sleep 777" not in daemon.docker("top", "kept").stdout
        assert health(daemon, "kept")["Status"] == "healthy"


def test_restart_of_what_is_unhealthy(daemon: Wharfd) -> None:
    flags = ("--label", "wharf.restart-on-unhealthy=true", "--stop-timeout", "0", "--health-interval", "100ms")
    with Events(daemon, "container=heals", "type=container", "event=start", "event=die", "event=restart") as events:
        run(daemon, "heals", *flags, "--health-retries", "1", "--health-cmd", "test -e /ill || { touch /ill; exit 1; }")
        assert events.until("restart") == ["start", "die", "start", "restart"]
    assert daemon.docker("inspect", "-f", "{{.RestartCount}}", "heals").stdout.strip() == "1"
    daemon.docker("rm", "-f", "heals")


def test_the_daemons_default_is_for_what_has_a_policy() -> None:
    flags = ("--stop-timeout", "0", *FAST, "--health-cmd", "false")
    with Wharfd("--restart-unhealthy") as daemon:
        daemon.load_busybox()
        with Events(daemon, "event=restart") as events:
            run(daemon, "left", *flags)
            run(daemon, "unlabelled", "--restart", "always", "--label", "wharf.restart-on-unhealthy=false", *flags)
            run(daemon, "policy", "--restart", "unless-stopped", *flags)
            for _ in range(2):
                assert events.next()["Actor"]["Attributes"]["name"] == "policy"
        assert named(daemon, "unhealthy") >= {"left", "unlabelled"}
        assert Path(f"{daemon.root}/log").read_text().count("(policy) is unhealthy and is restarted") >= 2
