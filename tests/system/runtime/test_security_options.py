"""Capabilities, --privileged, --security-opt, and the daemon's defaults for them, as the kernel shows them inside."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd

_DEFAULT = 0xA80425FB
_DENIED = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
}


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        yield running


def _status(daemon: Wharfd, *flags: str) -> dict[str, str]:
    text = daemon.docker("run", "--rm", *flags, "busybox", "cat", "/proc/self/status").stdout
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


@pytest.mark.parametrize(
    ("flags", "bounding", "effective"),
    [
        ([], _DEFAULT, _DEFAULT),
        (["-u", "1000"], _DEFAULT, 0),
        (["--cap-drop", "ALL"], 0, 0),
        (["--cap-drop", "all", "--cap-add", "chown"], 1, 1),
        (["--cap-drop", "CAP_CHOWN", "--cap-drop", "mknod"], 0xA00425FA, 0xA00425FA),
        (["--cap-add", "NET_ADMIN"], _DEFAULT | 1 << 12, _DEFAULT | 1 << 12),
        (["--cap-add", "CHOWN", "--cap-drop", "CHOWN"], _DEFAULT, _DEFAULT),
        (["-u", "1000", "--cap-add", "NET_ADMIN"], _DEFAULT | 1 << 12, 0),
    ],
)
def test_capabilities(daemon: Wharfd, flags: list[str], bounding: int, effective: int) -> None:
    found = _status(daemon, *flags)
    assert int(found["CapBnd"], 16) == bounding
    assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == effective
    assert int(found["CapInh"], 16) == int(found["CapAmb"], 16) == 0


def test_privileged_has_all_that_the_host_has(daemon: Wharfd) -> None:
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    found = _status(daemon, "--privileged")
    assert int(found["CapEff"], 16) == int(held.split()[1], 16)
    assert found["Seccomp"] == "0"
    out = daemon.docker(
        "run", "--rm", "--privileged", "busybox", "sh", "-c", "grep -c ' /sys .*rw' /proc/mounts"
    ).stdout
    assert out == "1\n"


@pytest.mark.parametrize(
    ("flags", "no_new", "seccomp"),
    [
        ([], "0", "2"),
        (["--security-opt", "no-new-privileges"], "1", "2"),
        (["--security-opt", "no-new-privileges:true"], "1", "2"),
        (["--security-opt", "no-new-privileges=false"], "0", "2"),
        (["--security-opt", "seccomp=unconfined"], "0", "0"),
        (["--security-opt", "seccomp=builtin"], "0", "2"),
        (["--security-opt", "apparmor=unconfined"], "0", "2"),
    ],
)
def test_filter_and_no_new_privileges(daemon: Wharfd, flags: list[str], no_new: str, seccomp: str) -> None:
    found = _status(daemon, *flags)
    assert (found["NoNewPrivs"], found["Seccomp"]) == (no_new, seccomp)


def test_a_profile_of_the_users(daemon: Wharfd, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(_DENIED))
    flags = ("--rm", "--security-opt", f"seccomp={path}")
    out = daemon.docker("run", *flags, "busybox", "mkdir", "/x", check=False)
    assert (out.returncode, out.stderr) == (1, "mkdir: can't create directory '/x': Operation not permitted\n")
    daemon.docker("run", *flags, "busybox", "touch", "/x")
    # Beside --privileged a profile that is named holds.
    out = daemon.docker("run", *flags, "--privileged", "busybox", "mkdir", "/x", check=False)
    assert out.returncode == 1


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("bogus=1", 'invalid --security-opt 2: "bogus=1"'),
        ("systempaths=bogus", 'invalid --security-opt 2: "systempaths=bogus"'),
        ("no-new-privileges=maybe", 'invalid --security-opt 2: "no-new-privileges=maybe"'),
        ("writable-cgroups=maybe", 'invalid --security-opt 2: "writable-cgroups=maybe"'),
    ],
)
def test_what_is_no_option(daemon: Wharfd, option: str, text: str) -> None:
    out = daemon.docker("run", "--rm", "--security-opt", option, "busybox", "true", check=False)
    assert out.returncode == 125
    assert text in out.stderr


def test_system_paths(daemon: Wharfd) -> None:
    look = "cat /proc/timer_list | wc -c; echo x > /proc/sys/kernel/domainname"
    hidden = daemon.docker("run", "--rm", "busybox", "sh", "-c", look, check=False)
    assert hidden.stdout == "0\n"
    assert "Read-only file system" in hidden.stderr
    open_ = daemon.docker("run", "--rm", "--security-opt", "systempaths=unconfined", "busybox", "sh", "-c", look)
    assert int(open_.stdout) > 0


def test_writable_cgroups(daemon: Wharfd) -> None:
    look = "grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1"
    assert daemon.docker("run", "--rm", "busybox", "sh", "-c", look).stdout == "ro\n"
    flags = ("--security-opt", "writable-cgroups=true")
    assert daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", look).stdout == "rw\n"


def test_defaults_of_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(_DENIED))
    with Wharfd("--no-new-privileges", "--seccomp-profile", str(path)) as daemon:
        daemon.load_busybox()
        assert _status(daemon)["NoNewPrivs"] == "1"
        assert _status(daemon, "--security-opt", "no-new-privileges=false")["NoNewPrivs"] == "0"
        assert daemon.docker("run", "--rm", "busybox", "mkdir", "/x", check=False).returncode == 1
        daemon.docker("run", "--rm", "--security-opt", "seccomp=builtin", "busybox", "mkdir", "/x")
        daemon.docker("run", "--rm", "--security-opt", "seccomp=unconfined", "busybox", "mkdir", "/x")
        info = json.loads(daemon.docker("info", "-f", "{{json .}}").stdout)
        assert f"name=seccomp,profile={path}" in info["SecurityOptions"]
        assert "WARNING: daemon is not using the default seccomp profile" in info["Warnings"]
        daemon.docker("run", "-d", "--name", "held", "busybox", "sleep", "300")
        out = daemon.docker("exec", "held", "grep", "NoNewPrivs", "/proc/self/status").stdout
        assert out.split() == ["NoNewPrivs:", "1"]
        assert daemon.docker("exec", "held", "mkdir", "/x", check=False).returncode == 1


def test_a_profile_that_is_none_stops_the_daemon(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    path.write_text("nothing")
    with pytest.raises(AssertionError, match="Decoding seccomp profile failed"), Wharfd("--seccomp-profile", str(path)):
        pass
