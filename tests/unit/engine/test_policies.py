"""Restart policy, defaults, capabilities, files of /etc, statuses."""

from datetime import UTC, datetime
from typing import Any

import pytest

from wharf.engine.defaults import command_of, merge_image
from wharf.engine.hosts_files import Place, host_network_hosts, host_network_resolv, hosts_text, read_text, resolv_text
from wharf.engine.restart_policy import next_delay, restarts_with_daemon, should_restart
from wharf.engine.security import DEFAULT_CAPABILITIES, capabilities
from wharf.engine.status import human_duration, state_word, status_line
from wharf.errors import Invalid
from wharf.spec.container import ContainerConfig, ContainerRecord, ContainerState, HostConfig, RestartPolicy
from wharf.spec.image import ImageConfig


def record(policy: str, count: int = 0, restarts: int = 0, stopped: bool = False) -> ContainerRecord:
    host = HostConfig(restart_policy=RestartPolicy(policy, count))
    made = ContainerRecord("i", "n", "", "", ContainerConfig(), host)
    made.restart_count, made.manually_stopped = restarts, stopped
    return made


@pytest.mark.parametrize(
    ("made", "code", "wanted"),
    [
        (record("no"), 1, False),
        (record("always"), 0, True),
        (record("always", stopped=True), 0, False),
        (record("unless-stopped"), 0, True),
        (record("on-failure"), 0, False),
        (record("on-failure"), 1, True),
        (record("on-failure", 3, 2), 1, True),
        (record("on-failure", 3, 3), 1, False),
    ],
)
def test_should_restart(made: ContainerRecord, code: int, wanted: bool) -> None:
    assert should_restart(made, code) is wanted


def test_with_the_daemon() -> None:
    assert restarts_with_daemon(record("always", stopped=True))
    assert not restarts_with_daemon(record("unless-stopped", stopped=True))
    assert not restarts_with_daemon(record("no"))


def test_the_delay_doubles_up_to_a_minute_and_begins_anew_after_a_good_run() -> None:
    delay, seen = 0.0, []
    for _ in range(12):
        delay = next_delay(delay, 0.1)
        seen.append(delay)
    assert seen[:4] == [0.1, 0.2, 0.4, 0.8]
    assert seen[-1] == 60.0
    assert next_delay(60.0, 10.0) == 0.1


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "wanted"),
    [
        (None, None, ("/e", ["c"])),
        (None, ["x"], ("/e", ["x"])),
        (["y"], None, ("y", [])),
        (["y"], ["x"], ("y", ["x"])),
        ([""], ["x"], ("x", [])),
    ],
)
def test_command_of_user_and_image(
    entrypoint: list[str] | None, cmd: list[str] | None, wanted: tuple[str, list[str]]
) -> None:
    config = ContainerConfig(entrypoint=entrypoint, cmd=cmd)
    merge_image(config, ImageConfig(entrypoint=("/e",), cmd=("c",)))
    assert command_of(config) == wanted


def test_no_command_at_all() -> None:
    with pytest.raises(Invalid, match="no command specified"):
        command_of(ContainerConfig())


def test_the_users_variables_come_first() -> None:
    config = ContainerConfig(env=["B=2"])
    merge_image(config, ImageConfig(env=("A=1", "B=1")))
    assert config.env == ["B=2", "A=1"]


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        (HostConfig(), set(DEFAULT_CAPABILITIES)),
        (HostConfig(cap_add=["net_admin"]), {*DEFAULT_CAPABILITIES, "CAP_NET_ADMIN"}),
        (HostConfig(cap_drop=["CAP_CHOWN"]), set(DEFAULT_CAPABILITIES) - {"CAP_CHOWN"}),
        (HostConfig(cap_drop=["all"], cap_add=["chown"]), {"CAP_CHOWN"}),
        (HostConfig(cap_drop=["all"]), set()),
    ],
)
def test_capabilities(host: HostConfig, wanted: set[str]) -> None:
    assert set(capabilities(host, 40)) == wanted


def test_privileged_has_all_this_kernel_knows() -> None:
    assert len(capabilities(HostConfig(privileged=True), 40)) == 41
    assert len(capabilities(HostConfig(cap_add=["ALL"], cap_drop=["chown"]), 40)) == 40


def test_hosts() -> None:
    config = ContainerConfig(hostname="web", domainname="example.org")
    host = HostConfig(extra_hosts=["gw:host-gateway", "x=1.2.3.4"])
    text = hosts_text(config, host, Place(("10.0.0.2",), "10.0.0.1"))
    assert text.splitlines()[0] == "127.0.0.1\tlocalhost"
    assert text.splitlines()[-3:] == ["10.0.0.1\tgw", "1.2.3.4\tx", "10.0.0.2\tweb.example.org web"]
    assert ":" not in hosts_text(config, HostConfig(), Place(("10.0.0.2",), "10.0.0.1", ipv6=False))


def servers(host: HostConfig, base: str) -> list[str]:
    return [line.split()[1] for line in resolv_text(host, base).splitlines() if line.startswith("nameserver")]


def test_resolv_conf() -> None:
    base = "nameserver 127.0.0.1\nnameserver 9.9.9.9 # ours\nsearch a b\n"
    assert servers(HostConfig(), base) == ["9.9.9.9"]
    assert servers(HostConfig(), "nameserver 127.0.0.53\n") == ["8.8.8.8", "8.8.4.4"]
    assert servers(HostConfig(dns=["1.1.1.1"]), base) == ["1.1.1.1"]
    assert "search a b" in resolv_text(HostConfig(), base)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (3599, "59 minutes"),
     (3600, "About an hour"), (86400, "24 hours"), (86400 * 3, "3 days"), (86400 * 20, "2 weeks")],
)  # fmt: skip
def test_durations(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_status_lines() -> None:
    now = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    started = "2026-01-01T00:00:00.5Z"
    assert status_line(ContainerState(running=True, started_at=started), now) == "Up 59 seconds"
    assert status_line(ContainerState(running=True, paused=True, started_at=started), now) == "Up 59 seconds (Paused)"
    ended = ContainerState(exit_code=3, started_at=started, finished_at=started)
    assert status_line(ended, now) == "Exited (3) 59 seconds ago"
    assert state_word(ContainerState()) == "created"


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        ({"running": True, "paused": True, "restarting": True}, "paused"),
        ({"running": True, "restarting": True, "removal_in_progress": True}, "restarting"),
        ({"running": True, "dead": True}, "running"),
        ({"removal_in_progress": True, "dead": True}, "removing"),
        ({"dead": True}, "dead"),
        ({}, "created"),
        ({"started_at": "2026-01-01T00:00:00Z"}, "exited"),
    ],
)
def test_words_of_a_state(flags: dict[str, Any], word: str) -> None:
    assert state_word(ContainerState(**flags)) == word


def test_names_with_the_hosts_network() -> None:
    assert host_network_hosts(HostConfig(), Place()) == read_text("/etc/hosts")
    added = host_network_hosts(HostConfig(extra_hosts=["a:1.2.3.4"]), Place(ipv6=False))
    assert added == "127.0.0.1\tlocalhost\n1.2.3.4\ta\n"
    base = "nameserver 127.0.0.1\nsearch a b\n"
    assert host_network_resolv(HostConfig(), base) == base
    asked = HostConfig(dns=["1.1.1.1"], dns_search=["."], dns_options=["ndots:3"])
    lines = host_network_resolv(asked, base).splitlines()
    assert lines[4:] == [
        "nameserver 1.1.1.1", "options ndots:3", "", "# Based on host file: '/etc/resolv.conf'",
        "# Overrides: [nameservers search options]", "# Option ndots from: override",
    ]  # fmt: skip
