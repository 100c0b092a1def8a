"""Options of the local volume driver as values: what is refused, what is mounted."""

import pytest

from wharf.engine.volume_options import VolumeMount, check_options, mount_of, needs_mount
from wharf.errors import Internal, Invalid
from wharf.spec.volume import VolumeRecord


def record(**options: str) -> VolumeRecord:
    return VolumeRecord("vol", "/vol/_data", "", options=options or None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x": ""}, 'invalid option: "x"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "x"}, 'missing required option: "type"'),
        ({"o": "ro"}, 'missing required option: "device"'),
        ({"o": "ro", "device": "x"}, 'missing required option: "type"'),
        ({"size": "1k"}, "quota size requested but no quota support"),
        ({"size": "-"}, "invalid size: '-'"),
        ({"type": "cifs", "device": "//host:1/x"}, "port not allowed in CIFS device URL, include 'port' in 'o='"),
        ({"type": "cifs", "device": "//host:x/x"}, "error parsing mount device url: "),
    ],
)
def test_refusals(options: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_options("vol", options)
    assert refused.value.message.startswith(f"create vol: {words}")


def test_what_needs_a_mount() -> None:
    assert not needs_mount(record())
    assert not needs_mount(record(size="0"))
    assert needs_mount(record(device="x", type=""))
    with pytest.raises(Internal, match="missing device in volume options"):
        mount_of(record(type="tmpfs", device=""))


@pytest.mark.parametrize(
    ("options", "mount"),
    [
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, VolumeMount("tmpfs", "tmpfs", "size=1m")),
        (
            {"type": "none", "device": "/src", "o": "bind,addr=localhost"},
            VolumeMount("/src", "none", "bind,addr=localhost"),
        ),
        (
            {"type": "nfs", "device": ":/x", "o": "rw,addr=localhost,soft"},
            VolumeMount(":/x", "nfs", "rw,addr=127.0.0.1,soft"),
        ),
        ({"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1"}, VolumeMount(":/x", "nfs", "addr=10.0.0.1")),
        (
            {"type": "nfs", "device": ":/x", "o": "mountaddr=localhost"},
            VolumeMount(":/x", "nfs", "mountaddr=localhost"),
        ),
        ({"type": "cifs", "device": "//localhost/a"}, VolumeMount("//127.0.0.1/a", "cifs", "")),
        ({"type": "nfs", "device": "//[:/x"}, VolumeMount("//[:/x", "nfs", "")),
        ({"type": "cifs", "device": "//10.0.0.1/a"}, VolumeMount("//10.0.0.1/a", "cifs", "")),
    ],
)
def test_names_of_servers_are_resolved(options: dict[str, str], mount: VolumeMount) -> None:
    assert mount_of(record(**options)) == mount


def test_a_name_without_address_is_told() -> None:
    options = {"type": "nfs", "device": ":/x", "o": "addr=bad..name"}
    with pytest.raises(
        Internal, match=r"error resolving passed in network volume address: lookup bad\.\.name: no such host"
    ):
        mount_of(record(**options))
