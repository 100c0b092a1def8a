"""Options of json-file: what is refused at create and what only at start, sizes, and what goes into each line."""

import pytest

from wharf.engine.log_options import check_log_config, log_attributes, log_sizes
from wharf.errors import Internal, Invalid, NotImplementedYet
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig, LogConfig


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (LogConfig("nolog"), 'error looking up logging plugin nolog: plugin "nolog" not found'),
        (LogConfig("json-file", {"x": "y"}), "unknown log opt 'x' for json-file log driver"),
        (LogConfig("json-file", {"mode": "x"}), "logger: logging mode not supported: x"),
        (LogConfig("json-file", {"max-buffer-size": "1m"}), "only supported with 'mode=non-blocking'"),
        (
            LogConfig("json-file", {"mode": "non-blocking", "max-buffer-size": "x"}),
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
    ],
)
def test_refused_at_create(log: LogConfig, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_log_config(log)
    assert words in caught.value.message


def test_not_there_yet() -> None:
    for log in (LogConfig("journald"), LogConfig("json-file", {"max-size": "1m", "max-file": "2", "compress": "true"})):
        with pytest.raises(NotImplementedYet):
            check_log_config(log)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max-size": "much"}, "invalid size: 'much'"),
        ({"max-size": "1m", "max-file": "0"}, "max-file cannot be less than 1"),
        ({"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ({"compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"),
        ({"compress": "true", "max-size": "1m"}, "compress cannot be true when max-file is less than 2 or max-size"),
    ],
)
def test_refused_at_start(options: dict[str, str], words: str) -> None:
    check_log_config(LogConfig("json-file", options))
    with pytest.raises(Internal, match=r"^failed to create task for container: ") as caught:
        log_sizes(LogConfig("json-file", options))
    assert words in caught.value.message


def test_sizes_of_rotation() -> None:
    found = [log_sizes(LogConfig("json-file", options)) for options in (
        None, {"max-size": "10k"}, {"max-size": "1m", "max-file": "3"}, {"max-file": "3"}, {"compress": "false"},
    )]  # fmt: skip
    assert found == [(-1, 1), (10240, 1), (1 << 20, 3), (-1, 3), (-1, 1)]


def record(options: dict[str, str]) -> ContainerRecord:
    config = ContainerConfig(
        image="box:1", env=["VERSION=1", "HOME=/", "VERBOSE"], labels={"a": "1", "ab": "2", "c": "3"}
    )
    host = HostConfig(log_config=LogConfig("json-file", options))
    return ContainerRecord(
        id="0123456789ab" + "c" * 52,
        name="web",
        created="",
        image_id="sha256:" + "fedcba987654" + "0" * 52,
        config=config,
        host_config=host,
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, {}),
        ({"labels": "a,none", "env": "VERSION,none"}, {"a": "1", "VERSION": "1"}),
        ({"labels-regex": "^a"}, {"a": "1", "ab": "2"}),
        ({"env-regex": "^VER"}, {"VERSION": "1", "VERBOSE": ""}),
        ({"tag": "plain"}, {"tag": "plain"}),
        ({"tag": "{{.Name}}/{{.ID}}"}, {"tag": "web/0123456789ab"}),
        ({"tag": "{{ .ImageName }}@{{.ImageID}}"}, {"tag": "box:1@fedcba987654"}),
    ],
)
def test_attributes(options: dict[str, str], found: dict[str, str]) -> None:
    assert log_attributes(record(options)) == found


@pytest.mark.parametrize(
    "options", [{"labels-regex": "["}, {"env-regex": "(a*)*b"}, {"tag": "{{.Nothing}}"}, {"tag": "{{"}]
)
def test_wrong_patterns_and_templates(options: dict[str, str]) -> None:
    with pytest.raises(Internal, match="failed to initialize logging driver"):
        log_attributes(record(options))
