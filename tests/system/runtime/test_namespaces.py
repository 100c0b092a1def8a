"""--pid, --ipc, --uts, --cgroupns: which namespaces a container has, and what it may not join."""

import os
from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd

_KINDS = ("pid", "ipc", "uts", "cgroup", "net", "mnt", "user")
_LINKS = "for k in " + " ".join(_KINDS) + "; do readlink /proc/self/ns/$k; done"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        running.docker("run", "-d", "--name", "donor", "--ipc=shareable", "busybox", "sleep", "300")
        running.docker("run", "-d", "--name", "closed", "busybox", "sleep", "300")
        yield running


def _inside(daemon: Wharfd, *flags: str) -> dict[str, str]:
    out = daemon.docker("run", "--rm", *flags, "busybox", "sh", "-c", _LINKS).stdout.split()
    return dict(zip(_KINDS, out, strict=True))


def _of_host(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{kind}")


@pytest.mark.parametrize(
    ("flag", "kind"), [("--pid", "pid"), ("--ipc", "ipc"), ("--uts", "uts"), ("--cgroupns", "cgroup")]
)
def test_the_hosts_namespace(daemon: Wharfd, flag: str, kind: str) -> None:
    found = _inside(daemon, f"{flag}=host")
    assert found[kind] == _of_host(kind)
    others = {"pid", "ipc", "uts", "net", "mnt"} - {kind}
    assert all(found[other] != _of_host(other) for other in others)


@pytest.mark.parametrize(("flag", "kind"), [("--ipc", "ipc"), ("--cgroupns", "cgroup")])
def test_a_namespace_of_its_own(daemon: Wharfd, flag: str, kind: str) -> None:
    assert _inside(daemon, f"{flag}=private")[kind] != _of_host(kind)


def test_that_of_another_container(daemon: Wharfd) -> None:
    donor = dict(zip(_KINDS, daemon.docker("exec", "donor", "sh", "-c", _LINKS).stdout.split(), strict=True))
    found = _inside(daemon, "--pid=container:donor", "--ipc=container:donor", "--net=container:donor")
    assert {kind for kind in _KINDS if found[kind] == donor[kind]} == {"pid", "ipc", "net"} | {
        kind for kind in ("user", "cgroup") if donor[kind] == _of_host(kind)
    }


def test_shared_memory_is_shared_with_the_ipc_namespace(daemon: Wharfd) -> None:
    daemon.docker("run", "--rm", "--ipc=container:donor", "busybox", "sh", "-c", "echo seen > /dev/shm/word")
    assert daemon.docker("exec", "donor", "cat", "/dev/shm/word").stdout == "seen\n"
    assert daemon.docker("run", "--rm", "busybox", "ls", "/dev/shm").stdout == ""


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--ipc=container:closed"], "non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
        (["--ipc=container:"], 'failed to join IPC namespace: invalid name or ID supplied: ""'),
        (["--ipc=bogus"], "invalid IPC mode: bogus"),
        (["--pid=container:nobody"], "No such container: nobody"),
        (["--net=container:nobody"], "joining network namespace of container: No such container: nobody"),
        (["--uts=host", "-h", "name"], "conflicting options: hostname and the UTS mode"),
        (["--net=container:donor", "-h", "name"], "conflicting options: hostname and the network mode"),
    ],
)
def test_what_cannot_be_joined(daemon: Wharfd, flags: list[str], text: str) -> None:
    out = daemon.docker("run", "--rm", *flags, "busybox", "true", check=False)
    assert out.returncode == 125
    assert text in out.stderr


def test_a_container_that_has_stopped_cannot_be_joined(daemon: Wharfd) -> None:
    full = daemon.docker("create", "--name", "still", "--ipc=shareable", "busybox", "true").stdout.strip()
    for kind in ("pid", "ipc"):
        out = daemon.docker("run", "--rm", f"--{kind}=container:still", "busybox", "true", check=False)
        assert f"failed to join {kind.upper()} namespace: container {full} is not running" in out.stderr
    out = daemon.docker("run", "--rm", "--net=container:still", "busybox", "true", check=False)
    assert "cannot join network namespace of a non running container: container still is created" in out.stderr


def test_no_shared_memory_at_all(daemon: Wharfd) -> None:
    out = daemon.docker("run", "--rm", "--ipc=none", "busybox", "ls", "-d", "/dev/shm", check=False)
    assert out.returncode == 1
    assert daemon.docker("run", "--rm", "--ipc=none", "busybox", "ls", "-d", "/dev/mqueue").stdout == "/dev/mqueue\n"
