"""Flags of `docker run` about devices: nodes and the right to them, rates and weights, the size of the root."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd
from wharf.kernel.cgroup.support import supported
from wharf.kernel.probe import probe
from wharf.spec.host import CgroupWorld

NODE = "/dev/loop-control"
"""In no container by default; the device rules forbid to open it, and nothing else does."""
_with_node = pytest.mark.skipif(not os.path.exists(NODE), reason=f"no {NODE} here")
_only_v1 = pytest.mark.skipif(probe().cgroup_world is not CgroupWorld.V1, reason="reads the files of cgroup v1")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


def disk() -> str:
    """A whole block device of this machine."""
    for name in sorted(os.listdir("/sys/block"), reverse=True):  # disks before loops
        path = f"/dev/{name}"
        if not name.startswith("zram") and os.path.exists(path) and stat.S_ISBLK(os.stat(path).st_mode):
            return path
    pytest.skip("no block device here")


def _shell(daemon: Wharfd, *words: str) -> tuple[int, str]:
    *flags, script = words
    done = daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", script, check=False)
    return done.returncode, done.stdout + done.stderr


@_with_node
def test_device_has_the_name_and_the_numbers(daemon: Wharfd) -> None:
    code, text = _shell(daemon, "--device", f"{NODE}:/dev/other", f"stat -c '%t:%T %a' /dev/other; ls {NODE}")
    found = os.stat(NODE)
    number = f"{os.major(found.st_rdev):x}:{os.minor(found.st_rdev):x}"
    assert text.splitlines()[0] == f"{number} {stat.S_IMODE(found.st_mode):o}"
    assert code == 1


@_with_node
def test_device_may_be_opened_as_its_permissions_say(daemon: Wharfd) -> None:
    read, write = f"exec 3<{NODE} && echo read", f"exec 3>{NODE} && echo written"
    assert _shell(daemon, "--device", f"{NODE}:{NODE}:r", read) == (0, "read\n")
    code, text = _shell(daemon, "--device", f"{NODE}:{NODE}:r", write)
    assert code != 0
    assert "Operation not permitted" in text
    assert _shell(daemon, "--device", NODE, write) == (0, "written\n")


@_with_node
def test_device_cgroup_rule_allows_a_node_made_inside(daemon: Wharfd) -> None:
    number = os.stat(NODE).st_rdev
    major, minor = os.major(number), os.minor(number)
    script = f"mknod /k c {major} {minor}; exec 3</k && echo read"
    code, text = _shell(daemon, script)
    assert code != 0
    assert "Operation not permitted" in text
    assert _shell(daemon, "--device-cgroup-rule", f"c {major}:{minor} rm", script) == (0, "read\n")
    assert _shell(daemon, "--device-cgroup-rule", f"c {major}:* r", script) == (0, "read\n")


@_only_v1
@pytest.mark.parametrize(
    ("flag", "value", "file", "number"),
    [
        ("--device-read-bps", "1gb", "read_bps_device", 1 << 30),
        ("--device-write-bps", "2gb", "write_bps_device", 2 << 30),
        ("--device-read-iops", "100000", "read_iops_device", 100000),
        ("--device-write-iops", "200000", "write_iops_device", 200000),
    ],
)
def test_rates_of_a_block_device(daemon: Wharfd, flag: str, value: str, file: str, number: int) -> None:
    path = disk()
    found = os.stat(path).st_rdev
    shown = _shell(daemon, flag, f"{path}:{value}", f"cat /sys/fs/cgroup/blkio/blkio.throttle.{file}")
    assert shown == (0, f"{os.major(found)}:{os.minor(found)} {number}\n")


def test_rate_of_what_is_no_block_device_fails_and_leaves_nothing(daemon: Wharfd) -> None:
    made = daemon.docker("create", "--device-read-bps", "/dev/null:1mb", "busybox", "true").stdout.strip()
    done = daemon.docker("start", made, check=False)
    assert "error setting cgroup config for procHooks process: failed to write" in done.stderr
    assert not list(Path("/sys/fs/cgroup").glob(f"**/{made}"))
    daemon.docker("rm", made)


@_only_v1
@pytest.mark.skipif(supported(probe().cgroup_mounts).weight, reason="this kernel has weights of block devices")
def test_weights_that_the_kernel_has_not_are_taken_off(daemon: Wharfd) -> None:
    done = daemon.docker("create", "--blkio-weight", "300", "--blkio-weight-device", f"{disk()}:200", "busybox", "true")
    assert done.stderr.splitlines() == [
        "WARNING: Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        "WARNING: Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
        "Weight-device discarded.",
    ]
    name = done.stdout.strip()
    shown = daemon.docker("inspect", "-f", "{{.HostConfig.BlkioWeight}} {{len .HostConfig.BlkioWeightDevice}}", name)
    assert shown.stdout == "0 0\n"
    daemon.docker("start", "-a", name)
    daemon.docker("rm", name)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("size=1g", "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"),
        ("bogus=1", "Unknown option bogus"),
    ],
)
def test_size_of_the_root_needs_quotas(daemon: Wharfd, option: str, words: str) -> None:
    done = daemon.docker("create", "--storage-opt", option, "busybox", "true", check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
