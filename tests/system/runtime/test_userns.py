"""`wharfd --userns-remap`: what a container with a user namespace is, inside and seen from the host."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.remapped import BASE, COUNT, Remapped
from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Remapped() as running:
        running.load_busybox()
        yield running


def test_ids_inside_and_outside(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "ids", "busybox", "sleep", "300")
    pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "ids").stdout.strip()
    status = Path(f"/proc/{pid}/status").read_text()
    assert f"Uid:\t{BASE}\t{BASE}\t{BASE}\t{BASE}\n" in status
    assert f"Gid:\t{BASE}\t{BASE}\t{BASE}\t{BASE}\n" in status
    assert Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(BASE), str(COUNT)]
    assert Path(f"/proc/{pid}/gid_map").read_text().split() == ["0", str(BASE), str(COUNT)]
    assert daemon.docker("exec", "ids", "id", "-u").stdout == "0\n"
    assert daemon.docker("exec", "-u", "1000:1000", "ids", "id", "-u").stdout == "1000\n"
    # The range of ids 0 to 2147483647 does not exist inside, so the default is not set.
    assert daemon.docker("exec", "ids", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").stdout == "0\n"
    own = {kind: os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("user", "mnt", "net", "pid", "uts", "ipc")}
    assert all(own[kind] != os.readlink(f"/proc/self/ns/{kind}") for kind in own)


@pytest.mark.parametrize(
    "path",
    ["/", "/etc", "/bin/busybox", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev", "/dev/pts", "/dev/shm",
     "/dev/mqueue", "/dev/pts/ptmx", "/proc/1", "/dev/stdout", "/made"],
)  # fmt: skip
def test_what_is_roots_inside(daemon: Wharfd, path: str) -> None:
    found = daemon.docker("run", "--rm", "busybox", "sh", "-c", f"mkdir /made; stat -L -c %u:%g {path}").stdout
    assert found == "0:0\n"


def test_standard_streams_can_be_opened(daemon: Wharfd) -> None:
    out = daemon.docker("run", "--rm", "busybox", "sh", "-c", "echo again > /dev/stdout; echo bad > /dev/stderr")
    assert (out.stdout, out.stderr) == ("again\n", "bad\n")
    out = daemon.docker("run", "--rm", "-u", "1000", "busybox", "sh", "-c", "echo mine > /dev/stdout")
    assert out.stdout == "mine\n"


def test_files_are_stored_with_the_ids_of_the_image(daemon: Wharfd) -> None:
    daemon.docker("run", "--name", "made", "busybox", "sh", "-c", "echo x > /new; chown 5:6 /new; touch /etc/group")
    assert daemon.docker("commit", "made", "made:1").stdout.startswith("sha256:")
    assert daemon.docker("run", "--rm", "made:1", "stat", "-c", "%u:%g", "/new").stdout == "5:6\n"
    # The same image without a map: the ids were stored, not those of the host.
    assert daemon.docker("run", "--rm", "--userns=host", "made:1", "stat", "-c", "%u:%g", "/new").stdout == "5:6\n"


def test_the_host_opt_out(daemon: Wharfd) -> None:
    out = daemon.docker("run", "--rm", "--userns=host", "busybox", "cat", "/proc/self/uid_map").stdout
    assert out.split() == ["0", "0", "4294967295"]
    assert daemon.docker("run", "--rm", "--userns=host", "--privileged", "busybox", "true").returncode == 0


def test_volumes_and_binds(daemon: Wharfd) -> None:
    write = "echo x > /v/file; chown 7:8 /v/file"
    daemon.docker("run", "--rm", "-v", "data:/v", "busybox", "sh", "-c", write)
    for userns in ((), ("--userns=host",)):
        found = daemon.docker(
            "run", "--rm", *userns, "-v", "data:/v", "busybox", "stat", "-c", "%u:%g", "/v/file", "/v"
        )
        assert found.stdout == "7:8\n0:0\n"
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        found = daemon.docker("run", "--rm", "-v", f"{place}:/b", "busybox", "stat", "-c", "%u:%g", "/b").stdout
        assert found == "65534:65534\n"
        refused = daemon.docker("run", "--rm", "-v", f"{place}:/b", "busybox", "touch", "/b/x", check=False)
        assert refused.returncode == 1
        assert "Permission denied" in refused.stderr
        os.chown(place, BASE + 9, BASE + 9)
        found = daemon.docker("run", "--rm", "-v", f"{place}:/b", "busybox", "stat", "-c", "%u:%g", "/b").stdout
        assert found == "9:9\n"


def test_a_directory_that_only_root_may_enter_can_be_bound(daemon: Wharfd) -> None:
    with tempfile.TemporaryDirectory() as place:
        inner = Path(place) / "inner"
        inner.mkdir()
        (inner / "file").write_text("read")
        found = daemon.docker("run", "--rm", "-v", f"{inner}:/b:ro", "busybox", "cat", "/b/file").stdout
        assert found == "read"


def test_a_terminal(daemon: Wharfd) -> None:
    daemon.docker("run", "--name", "term", "-dt", "busybox", "sh", "-c", "stat -c %u:%g $(tty)")
    assert daemon.docker("wait", "term").stdout == "0\n"
    assert daemon.docker("logs", "term").stdout.split() == ["0:5"]


def test_limits_and_score_are_set_from_outside(daemon: Wharfd) -> None:
    line = "ulimit -n; cat /proc/self/oom_score_adj; cat /proc/self/limits | grep -c locks"
    out = daemon.docker(
        "run", "--rm", "--ulimit", "nofile=300:400", "--oom-score-adj", "77", "busybox", "sh", "-c", line
    )
    assert out.stdout.split() == ["300", "77", "1"]


def test_memory_limit_and_read_only_root(daemon: Wharfd) -> None:
    out = daemon.docker("run", "--rm", "--read-only", "-m", "32m", "busybox", "touch", "/x", check=False)
    assert "Read-only file system" in out.stderr
    daemon.docker("run", "-d", "--name", "small", "-m", "32m", "busybox", "sleep", "300")
    assert daemon.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "small").stdout.rstrip().endswith("32MiB")


def test_copies_have_the_ids_of_the_image(daemon: Wharfd, tmp_path: Path) -> None:
    daemon.docker("run", "-d", "--name", "copied", "-v", "/v", "busybox", "sleep", "300")
    daemon.docker("exec", "copied", "sh", "-c", "echo x > /f; echo y > /v/g; chown 5:6 /f /v/g")
    (tmp_path / "in").write_text("from the host")
    os.chown(tmp_path / "in", 0, 0)
    for path in ("/f", "/v/g"):
        archive = daemon.docker("cp", f"copied:{path}", "-").stdout.encode()
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert [(item.uid, item.gid) for item in tar] == [(5, 6)]
    for target in ("/taken", "/v/taken"):
        daemon.docker("cp", str(tmp_path / "in"), f"copied:{target}")
        assert daemon.docker("exec", "copied", "stat", "-c", "%u:%g", target).stdout == "0:0\n"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--privileged"], "privileged mode is incompatible with user namespaces.  You must run the container in the "
         "host namespace when running privileged mode"),
        (["--network=host"], "cannot share the host's network namespace when user namespaces are enabled"),
        (["--pid=host"], "cannot share the host PID namespace when user namespaces are enabled"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_with_it(daemon: Wharfd, flags: list[str], text: str) -> None:
    out = daemon.docker("run", "--rm", *flags, "busybox", "true", check=False)
    assert out.returncode == 125
    assert text in out.stderr


@pytest.mark.parametrize(
    ("flags", "shared"),
    [
        (["--network=container:donor"], {"net"}),
        (["--pid=container:donor"], {"pid"}),
        (["--ipc=container:donor"], {"ipc"}),
        (["--network=container:donor", "--pid=container:donor", "--ipc=container:donor"], {"net", "pid", "ipc"}),
        # What owns the host's namespace may enter any other.
        (["--userns=host", "--network=container:donor", "--pid=container:donor"], {"net", "pid"}),
    ],
)
def test_sharing_with_another_container(daemon: Wharfd, flags: list[str], shared: set[str]) -> None:
    """Who shares a namespace shares the user namespace that owns it; all others are its own and owned by that one."""
    script = "echo kept >/dev/shm/file; exec sleep 300"
    daemon.docker("run", "-d", "--name", "donor", "--ipc=shareable", "busybox", "sh", "-c", script)
    try:
        daemon.docker("run", "-d", "--name", "guest", *flags, "-v", "/v", "busybox", "sleep", "300")
        donor, guest = (
            int(daemon.docker("inspect", "-f", "{{.State.Pid}}", name).stdout) for name in ("donor", "guest")
        )
        kinds = ("user", "mnt", "net", "pid", "uts", "ipc")
        same = {
            kind for kind in kinds if os.readlink(f"/proc/{donor}/ns/{kind}") == os.readlink(f"/proc/{guest}/ns/{kind}")
        }
        own_user = "--userns=host" not in flags
        assert same == shared | ({"user"} if own_user else set())
        assert f"Uid:\t{BASE if own_user else 0}\t" in Path(f"/proc/{guest}/status").read_text()
        look = "id -u; stat -c %u / /etc/hosts /v /proc/1; ls /dev/shm; echo x >/dev/stdout; hostname >/dev/null"
        out = daemon.docker("exec", "guest", "sh", "-c", look).stdout.split()
        first = "0" if own_user or "pid" not in shared else str(BASE)
        assert out == ["0", "0", "0", "0", first, *(["file"] if "ipc" in shared else []), "x"]
        processes = daemon.docker("exec", "guest", "ps").stdout
        assert processes.count("sleep 300") == (2 if "pid" in shared else 1)
        # A namespace of its own is its user namespace's: the host name is set with the right that root has in there.
        if own_user and "net" not in shared:
            daemon.docker("exec", "-u", "0", "guest", "sh", "-c", "test $(cat /sys/class/net/eth0/carrier) = 1")
    finally:
        daemon.docker("rm", "-f", "donor", "guest", check=False)


def test_namespaces_of_its_own_belong_to_the_shared_user_namespace(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "owner", "busybox", "sleep", "300")
    flags = ("--cap-add", "SYS_ADMIN", "--network=container:owner")
    out = daemon.docker(
        "run", "--rm", *flags, "busybox", "sh", "-c", "hostname set-inside && hostname && mount -t tmpfs t /tmp"
    )
    assert out.stdout == "set-inside\n"
    daemon.docker("rm", "-f", "owner")


def test_a_container_with_other_ids_cannot_be_joined(daemon: Wharfd) -> None:
    daemon.docker("run", "-d", "--name", "hosts", "--userns=host", "busybox", "sleep", "300")
    out = daemon.docker("run", "--rm", "--network=container:hosts", "busybox", "true", check=False)
    assert out.returncode == 125
    assert "both namespace path and non-matching mapping specified -- you may only provide one" in out.stderr
    daemon.docker("rm", "-f", "hosts")


def test_info_says_so(daemon: Wharfd) -> None:
    assert "name=userns" in daemon.docker("info", "-f", "{{.SecurityOptions}}").stdout


def test_a_container_keeps_its_map_when_the_daemon_has_lost_the_flag() -> None:
    with Remapped() as daemon:
        daemon.load_busybox()
        daemon.docker("run", "-d", "--name", "kept", "busybox", "sh", "-c", "chown 5:6 /etc; sleep 300")
        daemon.kill()
        daemon.flags = ()
        daemon.start()
        line = "id -u; cat /proc/self/uid_map; echo opened > /dev/stdout"
        out = daemon.docker("exec", "kept", "sh", "-c", line).stdout
        assert out.split() == ["0", "0", str(BASE), str(COUNT), "opened"]
        with tarfile.open(fileobj=io.BytesIO(daemon.docker("cp", "kept:/etc", "-").stdout.encode())) as tar:
            first = tar.next()
        assert first is not None
        assert (first.name.rstrip("/"), first.uid, first.gid) == ("etc", 5, 6)
        new = daemon.docker("run", "--rm", "busybox", "cat", "/proc/self/uid_map").stdout
        assert new.split() == ["0", "0", "4294967295"]
