"""Health checks: forms, times, and the table of states."""

import pytest

from wharf.engine.health_probe import Output
from wharf.engine.health_rules import CUT, MAX_LOG, MAX_OUTPUT, Plan, after, plan_of, text_of
from wharf.spec.container import ContainerConfig, Healthcheck
from wharf.spec.health import HEALTHY, STARTING, UNHEALTHY, Health, ProbeResult

SECOND = 10**9


@pytest.mark.parametrize(
    ("test", "command"),
    [
        (None, None),
        ([], None),
        (["NONE"], None),
        (["WAT", "x"], None),
        (["CMD", "a", "b c"], ("a", "b c")),
        (["CMD-SHELL", "a && b"], ("/bin/sh", "-c", "a && b")),
    ],
)
def test_the_forms(test: list[str] | None, command: tuple[str, ...] | None) -> None:
    plan = plan_of(ContainerConfig(healthcheck=Healthcheck(test)))
    assert (plan.command if plan else None) == command


def test_the_shell_of_the_image_and_the_defaults() -> None:
    plan = plan_of(ContainerConfig(healthcheck=Healthcheck(["CMD-SHELL", "x"]), shell=["/bin/bash", "-ec"]))
    assert plan == Plan(("/bin/bash", "-ec", "x"), 30.0, 30.0, 0.0, 5.0, 3)


def test_times_come_in_nanoseconds() -> None:
    check = Healthcheck(["CMD", "x"], 2 * SECOND, 3 * SECOND, 4 * SECOND, SECOND // 2, 7)
    assert plan_of(ContainerConfig(healthcheck=check)) == Plan(("x",), 2.0, 3.0, 4.0, 0.5, 7)


def test_the_start_interval_holds_while_it_starts() -> None:
    plan = Plan(("x",), interval=30.0, start_period=10.0, start_interval=1.0)
    assert [plan.delay(STARTING, 0), plan.delay(STARTING, 10), plan.delay(HEALTHY, 0), plan.delay(UNHEALTHY, 0)] == [
        1.0, 30.0, 30.0, 30.0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "streak", "code", "age", "status", "then"),
    [
        (STARTING, 0, 0, 0, HEALTHY, 0),
        (STARTING, 0, 1, 0, STARTING, 0),  # early
        (STARTING, 0, 1, 5, STARTING, 1),
        (STARTING, 1, 1, 5, UNHEALTHY, 2),
        (HEALTHY, 0, 1, 0, HEALTHY, 1),  # it was healthy once: nothing is early any more
        (HEALTHY, 1, -1, 0, UNHEALTHY, 2),
        (UNHEALTHY, 2, 1, 0, UNHEALTHY, 3),
        (UNHEALTHY, 9, 0, 0, HEALTHY, 0),
        (UNHEALTHY, 0, 1, 0, UNHEALTHY, 1),
    ],
)
def test_the_table(before: str, streak: int, code: int, age: float, status: str, then: int) -> None:
    plan = Plan(("x",), start_period=5.0, retries=2)
    found = after(Health(before, streak), plan, ProbeResult(exit_code=code), age)
    assert (found.status, found.failing_streak) == (status, then)


def test_the_log_keeps_the_last_five() -> None:
    health = Health()
    for number in range(8):
        health = after(health, Plan(("x",)), ProbeResult(output=str(number)), 0)
    assert [item.output for item in health.log] == ["3", "4", "5", "6", "7"]
    assert len(health.log) == MAX_LOG


def test_output_is_cut_as_docker_does() -> None:
    assert text_of(b"a" * MAX_OUTPUT) == "a" * MAX_OUTPUT
    assert text_of(b"a" * (MAX_OUTPUT + 1)) == "a" * MAX_OUTPUT + CUT
    assert text_of(b"\xff") == "�"


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 64])
def test_frames_cut_anywhere(size: int) -> None:
    stream = b"".join(
        bytes([number, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for number, text in ((1, b"out"), (2, b"error"))
    )
    output = Output()
    for at in range(0, len(stream), size):
        output.feed(stream[at : at + size])
    assert output.kept == b"outerror"


def test_no_more_is_kept_than_is_shown() -> None:
    output = Output()
    for _ in range(4):
        output.feed(b"\1\0\0\0" + (4000).to_bytes(4, "big") + b"x" * 4000)
    assert len(output.kept) == MAX_OUTPUT + 1
