"""Every flag of docker outside Swarm has a line that was recorded from Docker, or a reason why it has none."""

from tests.conformance.flags import OWN_FLAGS, WITHOUT, WITHOUT_COMMAND, command_of, used
from tests.conformance.table import parse_line, scenarios
from tests.support.docker_flags import docker_flags


def every_flag() -> set[str]:
    """`command --flag`, each once: other names of a command have the same flags."""
    found = set()
    for command, flags in docker_flags().items():
        if command in WITHOUT_COMMAND or command.split()[0] in WITHOUT_COMMAND:
            continue
        one = (
            command
            if command in ("docker", *OWN_FLAGS) or " " not in command
            else command_of(tuple(command.split()))[0]
        )
        found |= {f"{one or command} --{flag}" for flag in flags}
    return found


def test_every_flag_has_a_line_or_a_reason() -> None:
    there = used(line for scenario in scenarios() for line in scenario.lines)
    assert every_flag() - there - set(WITHOUT) == set(), "flags without a line of the conformance table"


def test_what_is_left_out_is_dockers_and_has_no_line() -> None:
    there = used(line for scenario in scenarios() for line in scenario.lines)
    assert set(WITHOUT) <= every_flag()
    assert not set(WITHOUT) & there, "listed as without a line, but there is one"
    assert all(reason for reason in (*WITHOUT.values(), *WITHOUT_COMMAND.values()))


def test_how_a_line_is_read() -> None:
    def flags(text: str) -> set[str]:
        return used([parse_line(f"docker {text}")])

    assert flags("-H x run -it -e A=1 --name=n box -d") == {
        "docker --host", "run --interactive", "run --tty", "run --env", "run --name",
    }  # fmt: skip
    assert flags("container ls -aq --filter x=1 -- -l") == {"ps --all", "ps --quiet", "ps --filter"}
    assert flags("build -q -t a . -f x") == {
        "build (legacy) --quiet", "build (legacy) --tag", "build (legacy) --file",
    }  # fmt: skip
    assert flags("image prune -a") == {"image prune --all"}


def test_each_class_of_error_has_a_line() -> None:
    """Of the statuses that Docker answers with (Engine API v1.51), in what it was recorded to answer."""
    from tests.conformance import recording

    recorded = recording.newest_for("28.5.2+dfsg4")
    assert recorded is not None
    answers = [
        answer for scenario in recorded.scenarios.values() for answer in scenario if answer.line.startswith("api ")
    ]
    assert {answer.code for answer in answers} >= {200, 304, 400, 401, 403, 404, 409, 500, 501, 503}
