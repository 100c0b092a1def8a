"""Mounts and volumes of containers with a user namespace: whose ids are seen inside and outside."""

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd
from tests.system.runtime.test_userns import BASE, Remapped

pytestmark = pytest.mark.xdist_group("mounts-mapped")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Remapped() as running:
        running.load_busybox()
        yield running


def run(daemon: Wharfd, *words: str) -> tuple[int, str, str]:
    out = daemon.docker("run", "--rm", "--network", "none", *words, check=False)
    return out.returncode, out.stdout, out.stderr


def test_a_bind_shows_the_hosts_ids_unless_it_is_mapped(daemon: Wharfd, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for name, owner in (("root", 0), ("user", 1000), ("theirs", BASE + 5)):
        (tmp_path / name).touch()
        os.chown(tmp_path / name, owner, owner)
    script = "stat -c '%n %u %g' /plain/* /mapped/* /own/*; touch /mapped/new"
    binds = ("-v", f"{tmp_path}:/plain", "-v", f"{tmp_path}:/mapped:idmap")
    word = f"idmap=uids=1000-{BASE + 7}-1"
    code, out, error = run(daemon, *binds, "-v", f"{tmp_path}:/own:ro,{word}", "busybox", "sh", "-c", script)
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "/plain/root 65534 65534", "/plain/theirs 5 5", "/plain/user 65534 65534",
        "/mapped/root 0 0", "/mapped/theirs 65534 65534", "/mapped/user 1000 1000",
        "/own/root 65534 65534", "/own/theirs 65534 65534", "/own/user 7 7",
    ]  # fmt: skip
    assert os.stat(tmp_path / "new").st_uid == 0


def test_a_volume_with_options_stores_the_ids_of_the_image(daemon: Wharfd) -> None:
    options = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=uid=7,gid=8")
    daemon.docker("volume", "create", *options, "scratch")
    path = daemon.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "scratch").stdout.strip()
    words = ("run", "-d", "--name", "holds", "--network", "none", "-v", "scratch:/s", "busybox", "sleep", "1000")
    daemon.docker(*words)
    try:
        daemon.docker("exec", "holds", "touch", "/s/mine")
        assert daemon.docker("exec", "holds", "stat", "-c", "%u:%g", "/s", "/s/mine").stdout == "7:8\n0:0\n"
        pid = daemon.docker("inspect", "-f", "{{.State.Pid}}", "holds").stdout.strip()
        assert os.stat(f"/proc/{pid}/root/s").st_uid == 7 + BASE
        assert daemon.process
        assert os.stat(f"/proc/{daemon.process.pid}/root{path}/mine").st_uid == 0
    finally:
        daemon.docker("rm", "-f", "holds")
        daemon.docker("volume", "rm", "scratch")


def test_an_image_shows_its_own_ids(daemon: Wharfd) -> None:
    mount = ("--mount", "type=image,src=made:1,dst=/x", "--mount", "type=image,src=made:1,dst=/y,image-subpath=etc")
    script = ("sh", "-c", "touch /x/new 2>&1; stat -c %u:%g /x /x/theirs /y/passwd")
    daemon.docker(
        "run", "--name", "made", "--network", "none", "busybox", "sh", "-c", "touch /theirs; chown 5:6 /theirs"
    )
    daemon.docker("commit", "made", "made:1")
    try:
        code, out, _ = run(daemon, *mount, "busybox", *script)
        assert (code, out) == (0, "touch: /x/new: Read-only file system\n0:0\n5:6\n0:0\n")
        daemon.docker("run", "-d", "--name", "user", "--network", "none", *mount, "busybox", "sleep", "1000")
        copied = daemon.docker("cp", "user:/x/theirs", "-").stdout.encode()
        with tarfile.open(fileobj=io.BytesIO(copied)) as tar:
            (member,) = tar.getmembers()
        assert (member.uid, member.gid) == (5, 6)
    finally:
        daemon.docker("rm", "-f", "made", "user", check=False)
        daemon.docker("rmi", "made:1", check=False)
