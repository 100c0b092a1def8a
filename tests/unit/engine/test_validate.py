"""What a create request may not say, in Docker's words."""

import pytest

from wharf.engine.signals import parse_signal
from wharf.engine.validate import (
    check_config,
    check_host_config,
    check_network_conflicts,
    parse_size,
    refuse_nul,
    root_size,
)
from wharf.errors import Internal, Invalid, WharfError
from wharf.spec.container import (
    ContainerConfig,
    CreateRequest,
    HostConfig,
    MountRequest,
    PortBinding,
    RestartPolicy,
)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (ContainerConfig(working_dir="rel"), "the working directory 'rel' is invalid, it needs to be an absolute path"),
        (ContainerConfig(env=["=x"]), "invalid environment variable: =x"),
        (ContainerConfig(env=[""]), "invalid environment variable: "),
        (ContainerConfig(stop_signal="FOO"), "invalid signal: FOO"),
        (ContainerConfig(hostname="h" * 65), "invalid hostname"),
        (ContainerConfig(exposed_ports={"x": {}}), "invalid port"),
    ],
)
def test_configs(config: ContainerConfig, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_config(config)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostConfig(cap_add=["FOO"]), 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        (HostConfig(security_opt=["x"]), 'invalid --security-opt 1: "x"'),
        (HostConfig(security_opt=["x=y"]), 'invalid --security-opt 2: "x=y"'),
        (HostConfig(security_opt=["seccomp={"]), "Decoding seccomp profile failed"),
        (HostConfig(auto_remove=True, restart_policy=RestartPolicy("always")), "can't create 'AutoRemove' container"),
        (HostConfig(restart_policy=RestartPolicy("sometimes")), "unknown policy 'sometimes'"),
        (HostConfig(restart_policy=RestartPolicy("always", 3)), "maximum retry count"),
        (HostConfig(pid_mode="x"), "invalid PID mode: x"),
        (HostConfig(ipc_mode="x"), "invalid IPC mode: x"),
        (HostConfig(shm_size=-1), "SHM size can not be less than 0"),
        (HostConfig(oom_score_adj=2000), "range for oom score adj is [-1000, 1000]"),
        (HostConfig(port_bindings={"80/tcp": [PortBinding("x", "80")]}), "invalid IP address"),
        (HostConfig(port_bindings={"0/tcp": None}), "invalid port"),
        (HostConfig(cgroup_parent="/a/../../b"), "invalid cgroup parent"),
    ],
)
def test_host_configs(host: HostConfig, words: str) -> None:
    with pytest.raises(WharfError) as caught:
        check_host_config(host)
    assert words in caught.value.message


@pytest.mark.parametrize("mode", ["container", "container:"])
def test_a_network_of_a_container_names_it(mode: str) -> None:
    with pytest.raises(Invalid, match=r"invalid network mode: invalid container format container:<name\|id>"):
        check_network_conflicts(ContainerConfig(), HostConfig(network_mode=mode))


def test_sizes() -> None:
    assert [parse_size(text) for text in ("10", "10k", "1.5m", "2GB", "-1")] == [10, 10240, 3 << 19, 2 << 30, -1]
    assert [parse_size(text) for text in ("3 KiB", "1t", "1P")] == [3 << 10, 1 << 40, 1 << 50]


@pytest.mark.parametrize(
    ("options", "supported", "answer"),
    [
        ({}, False, 0),
        ({"size": "20m"}, True, 20 << 20),
        ({"SIZE": "0"}, True, 0),
        ({"size": "20m"}, False, "supported only for overlay over xfs with 'pquota' mount option"),
        ({"size": "much"}, True, "invalid size: 'much'"),
        ({"size": "-1"}, True, "invalid size: '-1'"),
        ({"bogus": "1"}, True, "Unknown option bogus"),
    ],
)
def test_sizes_of_roots(options: dict[str, str], supported: bool, answer: int | str) -> None:
    if isinstance(answer, int):
        assert root_size(options, supported) == answer
        return
    with pytest.raises(Internal, match=answer):
        root_size(options, supported)


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("SIGKILL", 9), ("sigint", 2), ("9", 9), ("RTMIN+2", 36)])
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "FOO", "-9", "SIG", "9x"])
def test_bad_signals(text: str) -> None:
    with pytest.raises(Invalid, match="invalid signal"):
        parse_signal(text)


@pytest.mark.parametrize(
    "request_",
    [
        CreateRequest(ContainerConfig(cmd=["a\0"])),
        CreateRequest(ContainerConfig(labels={"a\0": "x"})),
        CreateRequest(host_config=HostConfig(binds=["/a\0:/b"])),
        CreateRequest(host_config=HostConfig(mounts=[MountRequest("bind", "/a", "/b\0")])),
    ],
)
def test_no_request_holds_a_nul(request_: CreateRequest) -> None:
    with pytest.raises(Invalid, match="contains a NUL byte"):
        refuse_nul(request_)
    refuse_nul(CreateRequest())


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (HostConfig(extra_hosts=["a"]), 'bad format for add-host: "a"'),
        (HostConfig(extra_hosts=[":1.2.3.4"]), "bad format"),
        (HostConfig(extra_hosts=["a b:1.2.3.4"]), "bad format"),
        (HostConfig(extra_hosts=["a:1.2.3.4\n6.6 x"]), 'invalid IP address in add-host: "1.2.3.4\\n6.6 x"'),
        (HostConfig(dns=["1.2.3.4\nnameserver 6.6.6.6"]), "bad nameserver address"),
        (HostConfig(dns_search=["a\nnameserver 6.6.6.6"]), "not a valid domain"),
        (HostConfig(dns_options=["a\nnameserver 6.6.6.6"]), "not a valid domain"),
    ],
)
def test_nothing_adds_lines_to_the_files_of_names(host: HostConfig, words: str) -> None:
    with pytest.raises((Invalid, Internal)) as caught:
        check_host_config(host)
    assert words in str(caught.value)
