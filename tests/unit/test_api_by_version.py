"""What requests of older versions of the API mean: what came later is left out, refused or moved."""

from typing import Any

import pytest

from wharf.api.by_version import create_by_version, update_by_version
from wharf.errors import Internal, Invalid, WharfError
from wharf.network.options import ENDPOINT_SYSCTLS
from wharf.spec.container import (
    BindOptions,
    ContainerConfig,
    CreateRequest,
    EndpointSettings,
    Healthcheck,
    HostConfig,
    MountRequest,
    NetworkingConfig,
    TmpfsOptions,
    VolumeOptions,
)

MAC, OTHER = "02:42:ac:11:00:03", "02:42:ac:11:00:04"
LATEST = (1, 51)


def asked(**host: Any) -> CreateRequest:
    return CreateRequest(host_config=HostConfig(**host))


def on(mode: str, mac: str = "", **endpoints: EndpointSettings) -> CreateRequest:
    """A container of a network mode, with the container-wide address and what is said of its endpoints."""
    networking = NetworkingConfig(endpoints_config=dict(endpoints))
    return CreateRequest(ContainerConfig(mac_address=mac), HostConfig(network_mode=mode), networking)


@pytest.mark.parametrize(
    ("field", "value", "since", "before"),
    [
        ("auto_remove", True, (1, 25), False),
        ("kernel_memory_tcp", 8 << 20, (1, 40), 0),
        ("ipc_mode", "", (1, 40), "shareable"),
        ("cgroupns_mode", "", (1, 41), "host"),
        ("console_size", [7, 9], (1, 42), [0, 0]),
        ("annotations", {"a": "b"}, (1, 43), None),
    ],
)
def test_a_field_is_taken_from_its_version_on(field: str, value: Any, since: tuple[int, int], before: Any) -> None:
    for version, expected in (((since[0], since[1] - 1), before), (since, value)):
        request = asked(**{field: value})
        create_by_version(request, version, cgroup2=False)
        assert getattr(request.host_config, field) == expected, version


def test_other_fields_that_came_or_went() -> None:
    for version, kernel, interval, flat, platform in (
        ((1, 40), 8 << 20, 0, True, ""),
        ((1, 41), 8 << 20, 0, True, "linux/arm64"),
        ((1, 43), 0, 0, True, "linux/arm64"),
        ((1, 44), 0, 5, False, "linux/arm64"),
    ):
        config = ContainerConfig(healthcheck=Healthcheck(start_interval=5))
        request = CreateRequest(config, HostConfig(kernel_memory=8 << 20), platform="linux/arm64")
        create_by_version(request, version, cgroup2=True)
        assert request.host_config.kernel_memory == kernel, version
        assert config.healthcheck and config.healthcheck.start_interval == interval, version
        assert (request.flat_read_only, request.platform) == (flat, platform), version
        assert request.host_config.cgroupns_mode == "", "the daemon's default, on cgroup v2"


def test_the_default_network_has_a_name() -> None:
    request = on("default", default=EndpointSettings(gw_priority=5))
    create_by_version(request, (1, 48), cgroup2=False)
    assert request.host_config.network_mode == "bridge"
    assert request.networking_config.endpoints_config == {"bridge": EndpointSettings(gw_priority=5)}
    create_by_version(request, (1, 47), cgroup2=False)
    assert request.networking_config.endpoints_config == {"bridge": EndpointSettings()}, "all have the same priority"


def test_options_of_binds() -> None:
    for version, recursive, made in (((1, 39), True, False), ((1, 41), False, False), ((1, 42), False, True)):
        options = BindOptions(non_recursive=True, create_mountpoint=True)
        create_by_version(asked(mounts=[MountRequest("bind", "/a", "/b", bind_options=options)]), version, False)
        assert (options.non_recursive, options.create_mountpoint) == (not recursive, made), version


@pytest.mark.parametrize(
    ("mount", "last_with", "version", "words"),
    [
        (
            MountRequest("bind", "/a", "/b", bind_options=BindOptions(read_only_force_recursive=True)),
            (1, 44),
            (1, 43),
            "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer",
        ),
        (
            MountRequest("volume", "v1", "/b", volume_options=VolumeOptions(subpath="x")),
            (1, 45),
            (1, 44),
            "VolumeOptions.Subpath needs API v1.45 or newer",
        ),
        (MountRequest("image", "x", "/b"), (1, 48), (1, 47), 'Mount type "Image" needs API v1.48 or newer'),
        (
            MountRequest("tmpfs", "", "/b", volume_options=VolumeOptions()),
            (1, 41),
            (1, 42),
            'VolumeOptions must not be specified on mount type "tmpfs"',
        ),
        (
            MountRequest("volume", "", "/b", tmpfs_options=TmpfsOptions()),
            (1, 41),
            (1, 42),
            'TmpfsOptions must not be specified on mount type "volume"',
        ),
        (
            MountRequest("image", "x", "/b", bind_options=BindOptions()),
            None,
            LATEST,
            'BindOptions must not be specified on mount type "image"',
        ),
    ],
)
def test_mounts_that_are_refused(
    mount: MountRequest, last_with: tuple[int, int] | None, version: tuple[int, int], words: str
) -> None:
    if last_with:
        assert create_by_version(asked(mounts=[mount]), last_with, cgroup2=False) == []
    with pytest.raises(Invalid) as refused:
        create_by_version(asked(mounts=[mount]), version, cgroup2=False)
    assert refused.value.message == words


def test_one_endpoint_before_several_were_known() -> None:
    with pytest.raises(Invalid, match="cannot be created with multiple network endpoints: n1, n2"):
        create_by_version(on("n1", n1=EndpointSettings(), n2=EndpointSettings()), (1, 43), cgroup2=False)
    create_by_version(on("n1", n1=EndpointSettings(), n2=EndpointSettings()), (1, 44), cgroup2=False)


@pytest.mark.parametrize(
    ("request_", "version", "kept", "endpoints", "warns"),
    [
        (on("n1", MAC), (1, 43), MAC, {"n1": MAC}, False),
        (on("n1", MAC, n2=EndpointSettings(mac_address=OTHER)), (1, 43), MAC, {"n2": MAC}, False),
        (on("n1", "", n1=EndpointSettings(mac_address=OTHER)), (1, 43), "", {"n1": ""}, False),
        (on("n1", "", n1=EndpointSettings(mac_address=OTHER)), (1, 44), "", {"n1": OTHER}, False),
        (on("n1", MAC), (1, 44), "", {"n1": MAC}, True),
        (on("", MAC), (1, 44), "", {"bridge": MAC}, True),
        (on("n1", MAC, n1=EndpointSettings(mac_address=MAC)), (1, 44), "", {"n1": MAC}, True),
        (on("none", MAC), (1, 44), "", {}, True),
        (on("container:x", MAC), (1, 44), "", {}, True),
    ],
)
def test_addresses_belong_to_endpoints(
    request_: CreateRequest, version: tuple[int, int], kept: str, endpoints: dict[str, str], warns: bool
) -> None:
    warnings = create_by_version(request_, version, cgroup2=False)
    assert request_.config.mac_address == kept
    found = request_.networking_config.endpoints_config or {}
    assert {name: settings.mac_address for name, settings in found.items()} == endpoints
    assert [text[:36] for text in warnings] == (["The container-wide MacAddress field "] if warns else [])


@pytest.mark.parametrize(
    ("request_", "version", "words"),
    [
        (on("none", MAC), (1, 43), "conflicting options: mac-address and the network mode"),
        (on("n1", MAC, n1=EndpointSettings(mac_address=OTHER)), (1, 44), "the container-wide MAC address must match"),
        (on("n1", MAC, n2=EndpointSettings()), (1, 44), "unable to migrate container-wide MAC address to a specific"),
    ],
)
def test_addresses_that_are_refused(request_: CreateRequest, version: tuple[int, int], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        create_by_version(request_, version, cgroup2=False)
    assert refused.value.message.startswith(words)


def test_a_volume_driver_for_all_is_not_for_mounts() -> None:
    mounts = [MountRequest("volume", "v1", "/v")]
    (warning,) = create_by_version(asked(volume_driver="local", mounts=mounts), (1, 48), cgroup2=False)
    assert "the container-wide volume-driver configuration is ignored for volumes" in warning
    assert create_by_version(asked(volume_driver="local", mounts=mounts), (1, 47), cgroup2=False) == []


def with_sysctls(mode: str, *interfaces: str, **endpoints: EndpointSettings) -> CreateRequest:
    request = on(mode, **endpoints)
    request.host_config.sysctls = {f"net.ipv4.conf.{name}.forwarding": "1" for name in interfaces} | {"kernel.sem": "1"}
    return request


def test_a_sysctl_of_eth0_moves_to_the_main_endpoint() -> None:
    before = {ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.forwarding=0", "x": "y"}
    request = with_sysctls("n1", "eth0", n1=EndpointSettings(driver_opts=before))
    assert create_by_version(request, (1, 47), cgroup2=False) == [
        f'Migrated sysctl "net.ipv4.conf.eth0.forwarding" to '
        f'DriverOpts{{"{ENDPOINT_SYSCTLS}":"net.ipv4.conf.IFNAME.forwarding=1"}}.'
    ]
    assert request.host_config.sysctls == {"kernel.sem": "1"}
    options = (request.networking_config.endpoints_config or {})["n1"].driver_opts
    assert options == {
        ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.forwarding=1,net.ipv4.conf.IFNAME.forwarding=0",
        "x": "y",
    }, "the endpoint's own comes last, and wins"


@pytest.mark.parametrize(
    ("request_", "version", "kind", "words"),
    [
        (with_sysctls("n1", "eth0"), (1, 48), Internal, "must be supplied using driver option"),
        (with_sysctls("none", "eth1"), (1, 48), Internal, "must be supplied using driver option"),
        (with_sysctls("n1", "eth1"), (1, 47), Internal, "unable to determine network endpoint for sysctl"),
        (with_sysctls("n1", "eth0", n2=EndpointSettings()), (1, 47), Invalid, "unable to find a network for sysctl"),
    ],
)
def test_sysctls_of_interfaces_that_are_refused(
    request_: CreateRequest, version: tuple[int, int], kind: type[WharfError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        create_by_version(request_, version, cgroup2=False)


def test_updates() -> None:
    for version, pids, kernel in (((1, 39), None, 8 << 20), ((1, 40), 7, 8 << 20), ((1, 42), 7, 0)):
        wanted = HostConfig(pids_limit=7, kernel_memory=8 << 20)
        update_by_version(wanted, version)
        assert (wanted.pids_limit, wanted.kernel_memory) == (pids, kernel), version
