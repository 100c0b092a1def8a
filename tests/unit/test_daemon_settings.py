"""Flags of wharfd and daemon.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from wharf.daemonconfig import (
    container_defaults,
    default_bridge,
    dns_defaults,
    publish_address,
    read_settings,
    registry_settings,
)
from wharf.engine.config import ContainerDefaults
from wharf.errors import Invalid
from wharf.spec.container import HostConfig, Ulimit
from wharf.spec.network import AddressPool


def settings(tmp_path: Path, file: Any, *flags: str) -> Any:
    path = tmp_path / "daemon.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file))
    return read_settings(["--config-file", str(path), *flags])


def test_flags_and_file_are_merged(tmp_path: Path) -> None:
    got = settings(
        tmp_path,
        {"bip": "10.9.0.1/24", "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "debug": True},
        "-H", "unix:///a", "-H", "tcp://127.0.0.1:1", "--data-root", "/d", "--exec-root", "/e",
        "--shutdown-timeout", "3",
    )  # fmt: skip
    assert got.hosts == ["unix:///a", "tcp://127.0.0.1:1"] and got.bip == "10.9.0.1/24"
    assert got.default_address_pools == [AddressPool.parse("base=10.0.0.0/8,size=24")] and got.log_level == "debug"
    assert (got.data_root, got.exec_root, got.pidfile, got.shutdown_timeout) == ("/d", "/e", "/e/wharfd.pid", 3)


@pytest.mark.parametrize(
    ("file", "flags", "words"),
    [
        ({"bip": "10.1.0.1/24"}, ["--bip", "10.0.0.1/24"], "specified both as a flag and in the configuration file: "
         r"bip: \(from flag: 10.0.0.1/24, from file: 10.1.0.1/24\)"),
        ({"hosts": ["unix:///a"]}, ["-H", "unix:///b"], "hosts: "),
        ({"nonsense": 1}, [], "the following directives don't match any configuration option: nonsense"),
        ({"storage-opts": True}, [], "storage-opts is not there yet"),
        ({"proxies": {"ftp-proxy": "x"}}, [], "proxies: ftp-proxy is none of"),
        ({"http-proxy": "x"}, [], "don't match any configuration option: http-proxy"),
        ({"proxies": {"http-proxy": "http://a"}}, ["--http-proxy", "http://b"], "http-proxy: "),
        ({"debug": "yes"}, [], "debug has the wrong type"),
        ({"default-runtime": "x"}, [], "specified default runtime 'x' does not exist"),
        ({"runtimes": {"x": {"runtimeType": "y"}}}, [], "runtimes: x must be an object with a path"),
        ({"runtimes": {"x": {"path": "/x", "options": {}}}}, [], "runtimes: x: options is not there yet"),
        ({"image-gc": {"max": "1g"}}, [], "image-gc: max is none of max-size, unused-for and interval"),
        ({"image-gc": {"interval": "1h"}}, [], "max-size or unused-for must say what goes"),
        ({"image-gc": {"max-size": "-1"}}, [], "image-gc: invalid size: '-1'"),
        ({"image-gc": {"unused-for": "-1h"}}, [], "image-gc: invalid duration"),
        ({}, ["--image-gc", "unused-for=1h", "--image-gc", "interval=10ms"], "the interval must be 1s at least"),
        ({"hosts": [1]}, [], "hosts must be a list of strings"),
        ("{", [], "invalid JSON"),
        ("[]", [], "not a JSON object"),
        ({}, ["--nonsense"], "unknown flag: --nonsense"),
        ({}, ["--bip", "x"], "invalid bip"),
        ({}, ["--fixed-cidr", "10.0.0.1/24"], "invalid fixed-cidr '10.0.0.1/24': 10.0.0.1/24 has host bits set"),
        ({"fixed-cidr-v6": "x"}, [], "invalid fixed-cidr-v6"),
        ({"bip6": "fd00::1"}, [], "invalid bip6"),
        ({"default-gateway": "::1"}, [], "invalid default-gateway"),
        ({"default-ulimits": {"nofile": 1}}, [], "default-ulimits: nofile must be an object"),
        ({"default-ulimits": {"x": {"Name": "x", "Soft": 1, "Hard": 1}}}, [], "invalid ulimit type: x"),
        ({}, ["--default-ulimit", "nofile=2:1"], "soft limit must be less than or equal to hard limit: 2 > 1"),
        ({}, ["--default-ulimit", "nofile"], "invalid ulimit argument: nofile"),
        ({"default-shm-size": "x"}, [], "invalid size: 'x'"),
        ({"default-shm-size": 0}, [], "invalid default-shm-size '0'"),
        ({"default-shm-size": True}, [], "default-shm-size has the wrong type"),
        ({"default-ipc-mode": "host"}, [], 'IPC mode "host" is not supported as default value'),
        ({"default-cgroupns-mode": "x"}, [], r"invalid default cgroup namespace \(x\)"),
        ({"cgroup-parent": "a/../b"}, [], "invalid cgroup-parent"),
        ({"init": "yes"}, [], "init has the wrong type"),
        ({"mtu": 20}, [], "invalid mtu 20: not within 68-65535"),
        ({"mtu": True}, [], "mtu has the wrong type"),
        ({"iptables": False}, [], "iptables cannot be false"),
        ({}, ["--ip6tables=false"], "ip6tables cannot be false"),
        ({"dns": ["x"]}, [], "x is not an ip address"),
        ({"dns-search": ["a b"]}, [], "invalid dns setting 'a b'"),
        ({"default-network-opts": {"bridge": "x"}}, [], "default-network-opts: bridge must be an object of strings"),
        ({}, ["--default-network-opt", "bridge=x"], "expected key=value"),
        ({"default-address-pools": [{"base": "10.0.0.0/8", "size": 4}]}, [], "pool"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, file: Any, flags: list[str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        settings(tmp_path, file, *flags)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file or directory"):
        read_settings(["--config-file", str(tmp_path / "none.json")])


def test_directives_without_effect_are_reported(tmp_path: Path) -> None:
    assert "metrics-addr is not used yet" in settings(tmp_path, {"metrics-addr": ""}).warnings[0]
    assert "builder.gc is not used yet" in settings(tmp_path, {"builder": {"gc": {"enabled": True}}}).warnings[0]


@pytest.mark.parametrize(
    ("file", "flags", "address"),
    [
        ({}, [], ""),
        ({"publish": "all"}, [], ""),
        ({"publish": "loopback"}, [], "127.0.0.1"),
        ({"ip": "192.0.2.7"}, [], "192.0.2.7"),
        ({"publish": "loopback"}, ["--ip", "::1"], "::1"),
    ],
)
def test_where_ports_are_published_without_an_address(tmp_path: Path, file: Any, flags: list[str], address: str):
    assert publish_address(settings(tmp_path, file, *flags)) == address


def test_settings_of_the_hosts_packet_filter(tmp_path: Path) -> None:
    assert settings(tmp_path, {}).ip_forward and not settings(tmp_path, {}).forward_accept
    assert not settings(tmp_path, {"ip-forward": False}).ip_forward
    assert (
        not settings(tmp_path, {}, "--ip-forward=false").ip_forward
        and settings(tmp_path, {}, "--ip-forward").ip_forward
    )
    assert settings(tmp_path, {"forward-accept": True}).forward_accept
    for file, words in (
        ({"publish": "none"}, "invalid publish"),
        ({"ip": "x"}, "invalid ip"),
        ({"ip-forward": 1}, "wrong"),
    ):
        with pytest.raises(Invalid, match=words):
            settings(tmp_path, file)
    with pytest.raises(Invalid, match="invalid boolean value"):
        settings(tmp_path, {}, "--ip-forward=maybe")


def test_icc_is_on_unless_it_is_switched_off(tmp_path: Path) -> None:
    assert settings(tmp_path, {}).icc and not settings(tmp_path, {"icc": False}).icc
    assert not settings(tmp_path, {}, "--icc=false").icc


def test_proxies_of_the_file_come_before_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://environment:1")
    monkeypatch.setenv("NO_PROXY", "a.example")
    proxies = registry_settings(settings(tmp_path, {"proxies": {"no-proxy": "b.example"}})).proxies
    assert (proxies.https, proxies.no_proxy) == ("http://environment:1", "b.example")


def test_what_containers_get_that_do_not_say_otherwise(tmp_path: Path) -> None:
    file = {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 64, "Hard": 128}}, "default-shm-size": 1 << 20}
    flags = (
        "--default-ipc-mode",
        "shareable",
        "--default-cgroupns-mode",
        "private",
        "--cgroup-parent",
        "/up",
        "--init",
    )
    nofile = Ulimit("nofile", 64, 128)
    expected = ContainerDefaults((nofile,), 1 << 20, "shareable", "private", "/up", True)
    assert container_defaults(settings(tmp_path, file, *flags)) == expected
    same = ("--default-ulimit", "nofile=64:128", "--default-shm-size", "1m")
    assert container_defaults(settings(tmp_path, {}, *same)) == ContainerDefaults((nofile,), 1 << 20)
    asked = HostConfig(ulimits=[Ulimit("nofile", 7, 7), Ulimit("core", 0, 0)], init=False, cgroup_parent="/own")
    assert expected.at_start(asked) == asked, "what a container names is its own"
    assert expected.at_start(HostConfig()) == HostConfig(ulimits=[nofile], init=True, cgroup_parent="/up")


def test_the_default_bridge_and_name_servers(tmp_path: Path) -> None:
    file = {"ipv6": True, "fixed-cidr-v6": "fd00::/64", "ip-masq": False, "dns": ["192.0.2.1"], "dns-opts": ["ndots:1"]}
    got = settings(tmp_path, file, "--fixed-cidr", "10.0.0.0/24", "--dns-search", "a", "--ip6tables=true")
    bridge, dns = default_bridge(got), dns_defaults(got)
    assert (str(bridge.range4), str(bridge.range6), bridge.ipv6, bridge.masquerade) == (
        "10.0.0.0/24",
        "fd00::/64",
        True,
        False,
    )
    assert (dns.servers, dns.search, dns.options) == (("192.0.2.1",), ("a",), ("ndots:1",))
    flags = ("--default-network-opt", "bridge=a=1", "--default-network-opt", "bridge=b=2=3")
    assert settings(tmp_path, {}, *flags).default_network_opts == {"bridge": {"a": "1", "b": "2=3"}}
    file = {"default-network-opts": {"macvlan": {"x": "y"}}}
    assert settings(tmp_path, file).default_network_opts == {"macvlan": {"x": "y"}}


def test_what_builds_may_be_given(tmp_path: Path) -> None:
    """As dockerd has it: the host's network without being asked, privileges only where the file says so."""
    assert settings(tmp_path, {}).build_entitlements == {"network.host"}
    both = {"builder": {"Entitlements": {"network-host": False, "security-insecure": True}}}
    assert settings(tmp_path, both).build_entitlements == {"security.insecure"}
    for wrong, said in (
        ([], "wrong type"), ({"x": 1}, "x is none of"), ({"entitlements": {"device": True}}, "device is none of"),
        ({"entitlements": {"network-host": "yes"}}, "booleans"),
    ):  # fmt: skip
        with pytest.raises(Invalid, match=said):
            settings(tmp_path, {"builder": wrong})
