"""Options of logs: what is refused at create and what only at start, sizes, and what goes into each line.

The words are those that Docker 28.5 answered to the same requests.
"""

import pytest

from wharf.engine.log_options import DEFAULT_SIZE, buffer_size, check_log_config, log_attributes, log_settings
from wharf.errors import Internal, Invalid, NotImplementedYet
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig, LogConfig

UDP = "udp://127.0.0.1:9999"
TCP = "tcp://127.0.0.1:9999"


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("nolog", {}, 'error looking up logging plugin nolog: plugin "nolog" not found'),
        ("json-file", {"x": "y", "a": "b"}, "unknown log opt 'a' for json-file log driver"),
        ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
        (
            "json-file",
            {"max-buffer-size": "1m"},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        (
            "json-file",
            {"mode": "non-blocking", "max-buffer-size": "x"},
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        ("local", {"labels": "l", "env": "E"}, "unknown log opt 'env' for log driver local"),
        ("journald", {"x": "y"}, "unknown log opt 'x' for journald log driver"),
        ("syslog", {"x": "y"}, "unknown log opt 'x' for syslog log driver"),
        ("syslog", {"syslog-address": "foo://bar"}, "unsupported scheme: 'foo'"),
        ("syslog", {"syslog-address": "nothing"}, "unsupported scheme: ''"),
        ("syslog", {"syslog-address": "udp://127.0.0.1:1:2"}, "address 127.0.0.1:1:2: too many colons in address"),
        ("syslog", {"syslog-address": "unix:///nope"}, "stat /nope: no such file or directory"),
        ("syslog", {"cache-disabled": "x"}, "invalid value for option cache-disabled: x"),
        ("syslog", {"cache-x": "0"}, "unknown log opt 'cache-x' for syslog log driver"),
        ("syslog", {"syslog-facility": "24"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "x"}, "Invalid syslog format"),
        (
            "fluentd",
            {"fluentd-async-connect": "true"},
            "unknown log opt 'fluentd-async-connect' for fluentd log driver",
        ),
        ("fluentd", {"fluentd-address": "foo://b"}, "invalid fluentd-address (foo://b): unsupported scheme: 'foo'"),
        (
            "fluentd",
            {"fluentd-address": "127.0.0.1:x"},
            'invalid fluentd-address (127.0.0.1:x): parse "tcp://127.0.0.1:x": invalid port ":x" after host',
        ),
        (
            "fluentd",
            {"fluentd-address": "tcp://127.0.0.1:1/path"},
            "invalid fluentd-address (tcp://127.0.0.1:1/path): should not contain a path element",
        ),
        ("fluentd", {"fluentd-address": "unix://"}, "invalid fluentd-address (unix://): path is empty"),
        ("fluentd", {"fluentd-async": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
        ("fluentd", {"fluentd-buffer-limit": "x"}, "invalid size: 'x'"),
        ("fluentd", {"fluentd-retry-wait": "x"}, 'time: invalid duration "x"'),
        ("fluentd", {"fluentd-max-retries": "x"}, 'strconv.ParseUint: parsing "x": invalid syntax'),
        (
            "fluentd",
            {"fluentd-async-reconnect-interval": "1ms"},
            'invalid value for fluentd-async-reconnect-interval: value ("1ms") must be between 100ms and 10s',
        ),
        (
            "fluentd",
            {"fluentd-async-reconnect-interval": "x"},
            'invalid value for fluentd-async-reconnect-interval: time: invalid duration "x"',
        ),
        (
            "fluentd",
            {"fluentd-write-timeout": "x"},
            'invalid value for fluentd-write-timeout: value must be a duration: time: invalid duration "x"',
        ),
        ("gelf", {"x": "y"}, "gelf-address is a required parameter"),
        ("gelf", {"gelf-address": "foo://bar"}, "gelf: endpoint needs to be TCP or UDP"),
        ("gelf", {"gelf-address": "udp://127.0.0.1"}, "gelf: please provide gelf-address as proto://host:port"),
        (
            "gelf",
            {"gelf-address": UDP, "gelf-compression-level": "11"},
            'unknown value "11" for log opt "gelf-compression-level" for gelf log driver',
        ),
        (
            "gelf",
            {"gelf-address": UDP, "gelf-tcp-max-reconnect": "1"},
            '"gelf-tcp-max-reconnect" is only valid for TCP',
        ),
        ("gelf", {"gelf-address": TCP, "gelf-compression-type": "gzip"}, "compression is only supported on UDP"),
        (
            "gelf",
            {"gelf-address": TCP, "gelf-tcp-max-reconnect": "-1"},
            '"gelf-tcp-max-reconnect" must be a positive integer',
        ),
    ],
)
def test_refused_at_create(driver: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_log_config(LogConfig(driver, options))
    assert caught.value.message == words


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("none", {"x": "y", "mode": "x"}),
        ("json-file", {"cache-disabled": "true", "mode": "non-blocking", "max-buffer-size": "0"}),
        ("journald", {"labels": "l", "cache-disabled": "true"}),
        ("syslog", {"syslog-address": UDP, "cache-max-size": "x", "cache-max-file": "0", "syslog-facility": "23"}),
        ("fluentd", {"fluentd-address": "tls://127.0.0.1:1"}),
        ("gelf", {"gelf-address": f"{UDP}/path"}),
    ],
)
def test_taken_at_create(driver: str, options: dict[str, str]) -> None:
    check_log_config(LogConfig(driver, options))


def test_drivers_of_one_vendor_are_not_there() -> None:
    with pytest.raises(NotImplementedYet, match="awslogs"):
        check_log_config(LogConfig("awslogs"))


@pytest.mark.parametrize(
    ("driver", "options", "words"),
    [
        ("json-file", {"max-size": "much"}, "invalid size: 'much'"),
        ("json-file", {"max-size": "-1"}, "invalid size: '-1'"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-size": "1m", "max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
        ("json-file", {"compress": "x"}, 'strconv.ParseBool: parsing "x": invalid syntax'),
        (
            "json-file",
            {"compress": "true", "max-size": "1m"},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        ("local", {"max-size": "x"}, "invalid value for max-size: x: invalid size: 'x'"),
        ("local", {"max-file": "x"}, 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
        ("local", {"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
        (
            "local",
            {"compress": "x"},
            'error reading compress log option: strconv.ParseBool: parsing "x": invalid syntax',
        ),
    ],
)
def test_refused_at_start(driver: str, options: dict[str, str], words: str) -> None:
    check_log_config(LogConfig(driver, options))
    with pytest.raises(Internal) as caught:
        log_settings(record(options, driver), "/d")
    prefix = "failed to create task for container: failed to initialize logging driver: "
    assert caught.value.message == prefix + words


@pytest.mark.parametrize(
    ("driver", "options", "found"),
    [
        ("json-file", {}, (DEFAULT_SIZE, 3, False, False)),
        ("json-file", {"max-size": "10k"}, (10240, 1, False, False)),
        ("json-file", {"max-size": "1m", "max-file": "3", "compress": "true"}, (1 << 20, 3, True, False)),
        ("json-file", {"max-file": "5"}, (DEFAULT_SIZE, 5, False, False)),
        ("local", {}, (20 << 20, 5, True, False)),
        ("local", {"max-file": "1", "compress": "false"}, (20 << 20, 1, False, False)),
        ("syslog", {"cache-max-size": "1m"}, (1 << 20, 5, True, True)),
        ("syslog", {"cache-max-size": "x"}, (20 << 20, 5, True, True)),
        ("syslog", {"cache-max-file": "1"}, (20 << 20, 1, False, True)),
        ("syslog", {"mode": "non-blocking"}, (20 << 20, 5, True, False)),
        ("fluentd", {"fluentd-async": "true"}, (20 << 20, 5, True, False)),
    ],
)
def test_rotation_is_on_by_default(driver: str, options: dict[str, str], found: tuple[int, int, bool, bool]) -> None:
    settings = log_settings(record(options, driver), "/d")
    assert settings is not None
    assert (settings.max_size, settings.max_file, settings.compress, settings.guarded) == found


def test_the_buffer_of_non_blocking_mode() -> None:
    assert buffer_size(LogConfig("syslog", {})) is None
    assert buffer_size(LogConfig("syslog", {"mode": "non-blocking"})) == 1 << 20
    assert buffer_size(LogConfig("syslog", {"mode": "non-blocking", "max-buffer-size": "4m"})) == 4 << 20


def record(options: dict[str, str], driver: str = "json-file") -> ContainerRecord:
    config = ContainerConfig(
        image="box:1", env=["VERSION=1", "HOME=/", "VERBOSE"], labels={"a": "1", "ab": "2", "c": "3"}
    )
    host = HostConfig(log_config=LogConfig(driver, options))
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
