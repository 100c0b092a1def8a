"""Mounts as clients write them."""

import pytest

from wharf.engine.mount_spec import parse_bind, parse_mount, plan_mounts
from wharf.errors import Internal, Invalid, WharfError
from wharf.spec.container import (
    BindOptions,
    ContainerConfig,
    HostConfig,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
)


def _tmpfs(*options: list[str]) -> MountRequest:
    return MountRequest("tmpfs", "", "/a", tmpfs_options=TmpfsOptions(options=list(options)))


def test_a_bind_shows_its_mode() -> None:
    point = parse_bind("/tmp:/t:ro").point
    assert (point.type, point.source, point.destination, point.mode) == ("bind", "/tmp", "/t", "ro")
    assert not point.rw
    assert point.propagation == "rprivate"


def test_a_volume_shows_mode_z() -> None:
    point = parse_bind("vol1:/v").point
    assert (point.type, point.name, point.destination, point.mode, point.rw) == ("volume", "vol1", "/v", "z", True)


def test_a_target_alone_is_an_anonymous_volume() -> None:
    planned = parse_bind("/data")
    assert planned.anonymous
    assert (planned.point.type, planned.point.name, planned.point.destination) == ("volume", "", "/data")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b'",
        ),
        ("/a:/", "destination can't be '/'"),
        ("/tmp:/a:zz", "invalid mode: zz"),
        ("/tmp:/a:ro,rw", "invalid mode: ro,rw"),
        (":/a", "invalid volume specification"),
        ("/a:/b:ro:x", "invalid volume specification"),
    ],
)
def test_bad_binds(text: str, words: str) -> None:
    with pytest.raises(Internal) as caught:
        parse_bind(text)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (MountRequest("bind", "/no-such-place", "/a"), "bind source path does not exist: /no-such-place"),
        (MountRequest("bind", "", "/a"), "field Source must not be empty"),
        (MountRequest("bind", "rel", "/a"), "mount path must be absolute"),
        (MountRequest("bind", "/tmp", ""), "field Target must not be empty"),
        (MountRequest("bind", "/tmp", "rel"), "mount path must be absolute"),
        (MountRequest("bind", "/tmp", "/a/.."), "destination can't be '/'"),
        (MountRequest("nosuch", "/tmp", "/a"), "mount type unknown"),
        (MountRequest("tmpfs", "/tmp", "/a"), "field Source must not be specified"),
        (MountRequest("volume", "v1", "/a", bind_options=BindOptions()), "BindOptions must not be specified"),
        (MountRequest("bind", "/tmp", "/a", volume_options=VolumeOptions()), "VolumeOptions must not be specified"),
        (MountRequest("volume", "", "/a", True), "must not set ReadOnly mode when using anonymous volumes"),
        (
            MountRequest("volume", "", "/a", volume_options=VolumeOptions(subpath="x")),
            "must not set Subpath when using anonymous volumes",
        ),
        (_tmpfs(["size", "9g"]), "invalid option: size"),
        (_tmpfs(["exec"], ["suid"]), "invalid option: suid"),
        (_tmpfs(["exec", "a", "b"]), "invalid option array length"),
        (_tmpfs([]), "invalid option array length"),
        (_tmpfs(["exec", "1"]), 'invalid tmpfs option "exec"'),
        (MountRequest("volume", "../x", "/a"), "invalid characters"),
    ],
)
def test_bad_mounts(request_: MountRequest, words: str) -> None:
    with pytest.raises(WharfError) as caught:
        parse_mount(request_)
    assert words in caught.value.message


def test_a_destination_may_be_used_once() -> None:
    with pytest.raises(Invalid, match="Duplicate mount point: /a"):
        plan_mounts(ContainerConfig(), HostConfig(binds=["/tmp:/a", "/etc:/a/"]), [])


def test_image_volumes_give_way_to_the_users() -> None:
    config = ContainerConfig(volumes={"/data": {}, "/more": {}})
    planned = plan_mounts(config, HostConfig(binds=["/tmp:/data"]), [])
    assert [(item.point.type, item.point.destination, item.anonymous) for item in planned] == [
        ("bind", "/data", False),
        ("volume", "/more", True),
    ]


def test_read_only_binds_of_old_clients_are_not_recursive() -> None:
    host = HostConfig(binds=["/tmp:/ro:ro", "/tmp:/rw"], mounts=[MountRequest("bind", "/tmp", "/m", True)])
    planned = {item.point.destination: item.request for item in plan_mounts(ContainerConfig(), host, [], "", True)}
    flat = {
        place: bool(item.bind_options and item.bind_options.read_only_non_recursive) for place, item in planned.items()
    }
    assert flat == {"/ro": True, "/rw": False, "/m": True}
    assert host.mounts is not None and host.mounts[0].bind_options is None, "inspect shows what was asked for"


def test_tmpfs_options_are_checked() -> None:
    plan_mounts(ContainerConfig(), HostConfig(tmpfs={"/t": "size=1m,exec,uid=5"}), [])
    with pytest.raises(Invalid, match='invalid tmpfs option "nosuch"'):
        plan_mounts(ContainerConfig(), HostConfig(tmpfs={"/t": "nosuch"}), [])
