"""Docker's JSON into dataclasses and back, by Go's rules."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.errors import Invalid
from wharf.spec.container import (
    ContainerConfig,
    EndpointSettings,
    ExecConfig,
    Healthcheck,
    HostConfig,
    MountRequest,
    TmpfsOptions,
)
from wharf.wire.codec import decode, encode, from_wire, to_wire
from wharf.wire.create import read_create
from wharf.wire.filters import parse_filters


def test_names_that_are_not_pascal_case() -> None:
    raw = to_wire(HostConfig())
    for name in ("UTSMode", "BlkioDeviceReadIOps", "IOMaximumIOps", "CpusetCpus", "NanoCpus", "ContainerIDFile"):
        assert name in raw
    settings = to_wire(EndpointSettings())
    assert {"IPAMConfig", "DNSNames", "IPPrefixLen", "GlobalIPv6PrefixLen", "GwPriority"} <= set(settings)


def test_empty_values_that_go_leaves_out() -> None:
    config = to_wire(ContainerConfig())
    assert not {"Healthcheck", "ExposedPorts", "StopSignal", "Shell", "MacAddress"} & set(config)
    assert config["Cmd"] is None and config["Volumes"] is None
    host = to_wire(HostConfig(init=False, mounts=[MountRequest("tmpfs", target="/x", tmpfs_options=TmpfsOptions(5))]))
    assert host["Init"] is False and "Tmpfs" not in host and "Annotations" not in host
    assert host["Mounts"] == [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"SizeBytes": 5}}]
    assert to_wire(Healthcheck()) == {}


def test_null_is_the_default_and_unknown_keys_are_ignored() -> None:
    config = decode(ContainerConfig, b'{"Cmd": null, "Hostname": null, "Labels": {"a": null}, "Nope": {"x": 1}}')
    assert config == ContainerConfig(labels={"a": ""})


def test_keys_match_in_any_case() -> None:
    assert decode(ContainerConfig, b'{"image": "a", "WORKINGDIR": "/"}') == ContainerConfig(image="a", working_dir="/")


def test_one_string_is_a_list_of_words_where_docker_says_so() -> None:
    assert decode(ContainerConfig, b'{"Cmd": "ls", "Entrypoint": ["a", "b"]}').cmd == ["ls"]
    assert decode(HostConfig, b'{"CapAdd": "ALL"}').cap_add == ["ALL"]
    with pytest.raises(Invalid):
        decode(ContainerConfig, b'{"Env": "A=b"}')


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Image": 5}', "cannot unmarshal number into Go struct field .Image of type string"),
        (b'{"Tty": "x"}', "cannot unmarshal string into Go struct field .Tty of type bool"),
        (
            b'{"Image": "a", "HostConfig": {"Memory": 1.5}}',
            "cannot unmarshal number into Go struct field HostConfig.Memory",
        ),
        (
            b'{"Image": "a", "HostConfig": {"Memory": true}}',
            "cannot unmarshal bool into Go struct field HostConfig.Memory",
        ),
        (
            b'{"Image": "a", "HostConfig": {"Binds": "x"}}',
            "cannot unmarshal string into Go struct field HostConfig.Binds",
        ),
        (b'{"Image": "a", "HostConfig": {"Memory": 99999999999999999999}}', "of type int64"),
        (b"[]", "cannot unmarshal array into Go value of type container.CreateRequest"),
        (b'{"a"', "invalid JSON"),
        (b"", "invalid JSON: got EOF while reading request body"),
        (b'{"HostConfig": {}}', "config cannot be empty in order to create a container"),
        (b"null", "config cannot be empty in order to create a container"),
        (b"{} x", "unexpected content after JSON"),
        (b"[" * 100_000, "invalid JSON"),
    ],
)
def test_bad_create_bodies(body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("(", r"\(")):
        read_create(body)


def test_create_as_the_docker_command_line_sends_it() -> None:
    body: dict[str, Any] = {
        "Hostname": "",
        "Cmd": ["true"],
        "Image": "alpine",
        "Volumes": {},
        "Entrypoint": None,
        "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {
            "Binds": ["data:/d"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": None},
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "MemorySwappiness": -1,
            "PidsLimit": 0,
            "Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/m", "ReadOnly": True}],
        },
        "NetworkingConfig": {"EndpointsConfig": {"default": {"IPAMConfig": None, "Aliases": ["w"]}}},
    }
    request = read_create(json.dumps(body).encode(), "web")
    assert request.name == "web" and request.config.cmd == ["true"] and request.config.volumes == {}
    bindings = request.host_config.port_bindings
    assert bindings is not None and bindings["81/tcp"] is None
    assert bindings["80/tcp"] is not None and bindings["80/tcp"][0].host_port == "8080"
    assert request.host_config.memory_swappiness == -1 and request.host_config.pids_limit == 0
    endpoints = request.networking_config.endpoints_config
    assert endpoints is not None and endpoints["default"].aliases == ["w"]


@given(
    st.builds(
        ExecConfig,
        user=st.text(),
        tty=st.booleans(),
        env=st.none() | st.lists(st.text()),
        console_size=st.none() | st.lists(st.integers(0, 1000)),
    )
)
def test_a_round_trip_loses_nothing(config: ExecConfig) -> None:
    assert decode(ExecConfig, encode(config)) == config


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_any_value_anywhere_is_accepted_or_invalid(value: Any) -> None:
    for field in ("Cmd", "Env", "Labels", "ExposedPorts", "Healthcheck", "Tty", "StopTimeout"):
        try:
            from_wire(ContainerConfig, {field: value})
        except Invalid:
            pass


def test_filters_in_both_forms() -> None:
    assert parse_filters("") == {}
    assert parse_filters('{"label": ["a=b", "c"]}') == {"label": ["a=b", "c"]}
    assert parse_filters('{"label": {"a=b": true, "c": false}}') == {"label": ["a=b"]}
    for bad in ("x", "[]", '{"a": 1}', '{"a": [1]}', '{"a": {"b": 1}}'):
        with pytest.raises(Invalid):
            parse_filters(bad)
