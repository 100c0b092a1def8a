"""Options of -v, --mount, --tmpfs and --volumes-from, seen inside the container."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive, layer_tar
from tests.support.wharfd import Wharfd

pytestmark = pytest.mark.xdist_group("mount-options")
SEEN = 1_700_000_000_123_456_789
"""Nanoseconds."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        yield started


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    """A directory that is a private mount, with `below` another mount in it."""
    place = tmp_path / "host"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "host", place], check=True)
    try:
        subprocess.run(["mount", "--make-private", place], check=True)
        (place / "below").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "below", place / "below"], check=True)
        (place / "below/file").write_text("deep")
        yield place
    finally:
        subprocess.run(["umount", "-R", place], check=True)


def run(daemon: Wharfd, *words: str) -> tuple[int, str, str]:
    out = daemon.docker("run", "--rm", "--network", "none", *words, check=False)
    return out.returncode, out.stdout, out.stderr


def make(host: Path, word: str) -> None:
    subprocess.run(["mount", f"--make-{word}", host], check=True)


@pytest.mark.parametrize("form", ["-v {0}:/m:{1}", "--mount type=bind,src={0},dst=/m,bind-propagation={1}"])
@pytest.mark.parametrize("word", ["shared", "rshared", "slave", "rslave"])
def test_a_private_source_cannot_share(daemon: Wharfd, host: Path, form: str, word: str) -> None:
    code, _, error = run(daemon, *form.format(host, word).split(" ", 1), "busybox", "true")
    kind = "shared" if "shared" in word else "shared or slave"
    assert code == 125
    assert f"path {host} is mounted on {host} but it is not a {kind} mount" in error
    make(host, "shared")
    assert run(daemon, *form.format(host, word).split(" ", 1), "busybox", "true")[0] == 0


def test_a_slave_is_enough_for_a_slave(daemon: Wharfd, host: Path) -> None:
    make(host, "shared")
    make(host, "slave")  # of nobody: private again
    assert run(daemon, "-v", f"{host}:/m:rslave", "busybox", "true")[0] == 125
    make(host, "shared")
    copy = host.parent / "copy"
    copy.mkdir()
    subprocess.run(["mount", "--bind", host, copy], check=True)
    try:
        make(copy, "slave")
        script = "grep ' /m ' /proc/self/mountinfo | grep -o -e master: -e shared:"
        assert run(daemon, "-v", f"{copy}:/m:rslave", "busybox", "sh", "-c", script)[:2] == (0, "master:\n")
        code, _, error = run(daemon, "-v", f"{copy}:/m:rshared", "busybox", "true")
        assert (code, f"path {copy} is mounted on {copy} but it is not a shared mount" in error) == (125, True)
    finally:
        subprocess.run(["umount", copy], check=True)


def test_mounts_made_later_reach_as_far_as_asked(daemon: Wharfd, host: Path) -> None:
    make(host, "shared")
    binds = [word for name in ("rshared", "rslave", "rprivate") for word in ("-v", f"{host}:/{name}:{name}")]
    (host / "later").mkdir()
    daemon.docker("run", "-d", "--name", "sees", "--network", "none", *binds, "busybox", "sleep", "1000")
    try:
        subprocess.run(["mount", "-t", "tmpfs", "later", host / "later"], check=True)
        rows = daemon.docker("exec", "sees", "cat", "/proc/self/mountinfo").stdout
        assert [f" /{name}/later " in rows for name in ("rshared", "rslave", "rprivate")] == [True, True, False]
    finally:
        daemon.docker("rm", "-f", "sees")


def test_a_bind_of_everything_follows_the_host(daemon: Wharfd) -> None:
    daemon.docker("create", "--name", "whole", "--network", "none", "-v", "/:/host:ro", "busybox", "ls", "/host/proc/1")
    try:
        assert daemon.docker("inspect", "-f", "{{(index .Mounts 0).Propagation}}", "whole").stdout == "rslave\n"
        assert "status" in daemon.docker("start", "-a", "whole").stdout
    finally:
        daemon.docker("rm", "-f", "whole")
    out = daemon.docker("create", "-v", "/:/host:private", "busybox", check=False)
    assert 'must use either propagation mode "rslave" or "rshared"' in out.stderr


MOUNT = "type=bind,src={},dst=/m"


@pytest.mark.parametrize(
    ("options", "top", "below", "seen"),
    [
        ("", True, True, True),
        (",bind-recursive=enabled", True, True, True),
        (",bind-recursive=disabled", True, True, False),
        (",bind-nonrecursive=true", True, True, False),
        (",readonly", False, False, True),
        (",readonly,bind-recursive=writable", False, True, True),
        (",readonly,bind-recursive=readonly,bind-propagation=rprivate", False, False, True),
        (",readonly,bind-recursive=disabled", False, False, False),
    ],
)
def test_recursion_and_read_only(daemon: Wharfd, host: Path, options: str, top: bool, below: bool, seen: bool) -> None:
    script = "touch /m/x && echo top; touch /m/below/x && echo below; cat /m/below/file; true"
    out = run(daemon, "--mount", MOUNT.format(host) + options, "busybox", "sh", "-c", script)[1]
    assert ("deep" in out) == seen
    assert ("top" in out, "below" in out) == (top, below)
    assert (host / "below/x").exists() == (below and seen)


def test_minus_v_ro_is_recursive(daemon: Wharfd, host: Path) -> None:
    assert run(daemon, "-v", f"{host}:/m:ro", "busybox", "touch", "/m/below/x")[0] == 1
    assert not (host / "below/x").exists()


def test_a_file_system_in_memory_has_its_options(daemon: Wharfd) -> None:
    script = "stat -c '%a %u %g' /t /u; grep -e ' /t ' -e ' /u ' /proc/self/mountinfo | cut -d' ' -f5,6"
    words = (
        "--tmpfs",
        "/t:size=64k,mode=1750,uid=5,gid=6,exec",
        "--mount",
        "type=tmpfs,dst=/u,readonly,tmpfs-mode=711",
    )
    code, out, _ = run(daemon, *words, "busybox", "sh", "-c", script)
    assert (code, sorted(out.splitlines())) == (
        0,
        ["/t rw,nosuid,nodev,relatime", "/u ro,nosuid,nodev,noexec,relatime", "1750 5 6", "711 0 0"],
    )
    assert (
        run(daemon, "--tmpfs", "/t:size=64k", "busybox", "dd", "if=/dev/zero", "of=/t/x", "bs=1k", "count=65")[0] == 1
    )
    mount = "type=tmpfs,dst=/t,tmpfs-size=64k"
    assert run(daemon, "--mount", mount, "busybox", "dd", "if=/dev/zero", "of=/t/x", "bs=1k", "count=65")[0] == 1


def test_read_only_root(daemon: Wharfd, tmp_path: Path) -> None:
    script = (
        "for f in /x /etc/hostname /v/x /b/x /t/x /dev/shm/x /dev/x /ro/x; do echo > $f && echo $f; done 2>/dev/null"
    )
    words = ("--read-only", "-v", "/v", "-v", f"{tmp_path}:/b", "--tmpfs", "/t", "-v", f"{tmp_path}:/ro:ro")
    out = run(daemon, *words, "busybox", "sh", "-c", script)[1]
    assert out.split() == ["/v/x", "/b/x", "/t/x", "/dev/shm/x", "/dev/x"]


# -- volumes


@pytest.fixture(scope="module")
def seeded(daemon: Wharfd) -> str:
    """An image with a directory that has everything a copy could lose."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, owner in (
            ("data", tarfile.DIRTYPE, 0o1735, 5),
            ("data/sub", tarfile.DIRTYPE, 0, 0),
            ("data/file", tarfile.REGTYPE, 0o4750, 5),
            ("data/hard", tarfile.LNKTYPE, 0o4750, 5),
            ("data/link", tarfile.SYMTYPE, 0o777, 9),
            ("data/pipe", tarfile.FIFOTYPE, 0o600, 0),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode, entry.uid, entry.gid = kind, mode, owner, owner + 1
            entry.linkname = {"data/hard": "data/file", "data/link": "file"}.get(name, "")
            # The reader takes nanoseconds and attributes from these records.
            entry.pax_headers = {"mtime": f"{SEEN // 10**9}.{SEEN % 10**9:09}"}
            if name in ("data/file", "data/sub"):
                entry.pax_headers["SCHILY.xattr.user.kept"] = name
            tar.addfile(entry)
    path = Path(daemon.root, "seeded.tar")
    path.write_bytes(docker_archive("seeded:latest", [layer_tar(), layer.getvalue()]))
    daemon.docker("load", "-i", str(path))
    return "seeded"


def test_a_new_volume_gets_what_the_image_has(daemon: Wharfd, seeded: str) -> None:
    daemon.docker("create", "--name", "fills", "--network", "none", "-v", "filled:/data:ro", seeded)
    daemon.docker("rm", "fills")
    path = Path(daemon.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "filled").stdout.strip())
    file = path / "file"
    assert sorted(os.listdir(path)) == ["file", "hard", "link", "pipe", "sub"]
    assert [(oct(os.lstat(at).st_mode), os.lstat(at).st_uid, os.lstat(at).st_gid) for at in (file, path)] == [
        ("0o104750", 5, 6),
        ("0o41735", 5, 6),
    ]
    assert os.path.samefile(file, path / "hard")
    assert os.readlink(path / "link") == "file"
    assert [os.getxattr(path / name, "user.kept") for name in ("file", "sub")] == [b"data/file", b"data/sub"]
    assert [os.lstat(path / name).st_mtime_ns for name in ("file", "link", "sub", ".")] == [SEEN] * 4
    assert (path / "sub").stat().st_mode & 0o777 == 0
    daemon.docker("volume", "rm", "filled")


@pytest.mark.parametrize("form", [("-v", "bare:/data:nocopy"), ("--mount", "src=bare,dst=/data,volume-nocopy")])
def test_nocopy(daemon: Wharfd, seeded: str, form: tuple[str, str]) -> None:
    assert run(daemon, *form, seeded, "ls", "-A", "/data")[:2] == (0, "")
    daemon.docker("volume", "rm", "bare")


def test_nothing_is_copied_at_the_start_nor_into_what_has_something(
    daemon: Wharfd, seeded: str, tmp_path: Path
) -> None:
    daemon.docker("create", "--name", "late", "--network", "none", "-v", "emptied:/data", seeded, "ls", "-A", "/data")
    daemon.docker("run", "--rm", "--network", "none", "-v", "emptied:/d", "busybox", "sh", "-c", "rm -rf /d/*")
    assert daemon.docker("start", "-a", "late").stdout == ""
    daemon.docker("rm", "late")
    daemon.docker("run", "--rm", "--network", "none", "-v", "emptied:/d", "busybox", "touch", "/d/one")
    assert run(daemon, "-v", "emptied:/data", seeded, "ls", "-A", "/data")[:2] == (0, "one\n")
    assert run(daemon, "-v", f"{tmp_path}:/data", seeded, "ls", "-A", "/data")[:2] == (0, "")
    daemon.docker("volume", "rm", "emptied")


@pytest.mark.parametrize(
    ("mode", "writes"), [("", "v b"), (":rw", "v b"), (":z", "v b"), (":ro", ""), (":ro,z", ""), (":Z,ro", "")]
)
def test_volumes_from(daemon: Wharfd, tmp_path: Path, mode: str, writes: str) -> None:
    binds = ("-v", "lent:/v", "-v", f"{tmp_path}:/b", "-v", f"{tmp_path}:/r:ro", "--mount", "type=tmpfs,dst=/t")
    daemon.docker("create", "--name", "lends", "--network", "none", *binds, "busybox")
    try:
        script = "for d in v b r; do touch /$d/x 2>/dev/null && echo $d; done; grep -c ' /t ' /proc/mounts"
        code, out, error = run(daemon, "--volumes-from", f"lends{mode}", "busybox", "sh", "-c", script)
        assert (code, out.split()) == (0, [*writes.split(), "1"]), error
        own = ("--volumes-from", f"lends{mode}", "--tmpfs", "/v")
        assert run(daemon, *own, "busybox", "sh", "-c", "touch /v/mine && ls /v")[:2] == (0, "mine\n")
    finally:
        daemon.docker("rm", "lends")
        daemon.docker("volume", "rm", "lent")


# -- id-mapped binds


def test_ids_of_a_bind_are_shown_by_a_map(daemon: Wharfd, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for name, owner in (("root", 0), ("user", 1000), ("other", 77)):
        (tmp_path / name).touch()
        os.chown(tmp_path / name, owner, owner)
    word = "idmap=uids=0-5000-1#1000-6000-10;gids=0-5001-1#1000-6001-10"
    binds = ("-u", "6000:6001", "-v", f"{tmp_path}:/m:{word}", "-v", f"{tmp_path}:/plain")
    script = "cd /m; stat -c '%n %u %g' *; touch new; stat -c %u:%g /plain/user"
    code, out, error = run(daemon, *binds, "busybox", "sh", "-c", script)
    assert (code, error) == (0, "")
    assert out.splitlines() == ["other 65534 65534", "root 5000 5001", "user 6000 6001", "1000:1000"]
    assert (os.stat(tmp_path / "new").st_uid, os.stat(tmp_path / "new").st_gid) == (1000, 1000)


def test_a_map_is_inherited_and_goes_with_the_other_words(daemon: Wharfd, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    word = "idmap=uids=0-5000-1;gids=0-5001-1"
    daemon.docker("create", "--name", "maps", "--network", "none", "-v", f"{tmp_path}:/m:ro,{word}", "busybox")
    try:
        code, out, _ = run(daemon, "--volumes-from", "maps", "busybox", "sh", "-c", "stat -c %u:%g /m/file; touch /m/x")
        assert (code, out) == (1, "5000:5001\n")
    finally:
        daemon.docker("rm", "maps")


BAD_MAPS = (
    "idmap= idmap=uids idmap=uids=0-1 idmap=uids=0-1-0 idmap=x=0-1-1 idmap=uids=0-1-1;uids=1-2-3 idmap=uids=a-b-c "
    "idmap=uids=0-4294967295-2 idmap,idmap"
)


@pytest.mark.parametrize("word", BAD_MAPS.split())
def test_maps_that_are_none(daemon: Wharfd, tmp_path: Path, word: str) -> None:
    out = daemon.docker("create", "-v", f"{tmp_path}:/m:{word}", "busybox", check=False)
    assert (out.returncode, f"invalid mode: {word}" in out.stderr) == (1, True)


def test_no_map_without_a_user_namespace(daemon: Wharfd, tmp_path: Path) -> None:
    code, _, error = run(daemon, "-v", f"{tmp_path}:/m:idmap", "busybox", "true")
    assert (code, "idmap needs maps of its own where the container has no user namespace" in error) == (125, True)
