"""Image mounts: another image's files in a container, read-only, whatever becomes of the image and of the daemon."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.busybox import docker_archive, layer_tar
from tests.support.layers import layer
from tests.support.wharfd import Wharfd

LINKS = {"abs": "/etc", "up": "../../../etc", "within": "data/deep"}


def load(daemon: Wharfd, name: str, *layers: bytes) -> None:
    path = Path(daemon.root) / "one.tar"
    path.write_bytes(docker_archive(name, layers))
    daemon.docker("load", "-q", "-i", str(path))


def load_all(daemon: Wharfd) -> None:
    """`flat:1` has one layer, `tall:1` three, of which the top takes away what the first had."""
    first = layer({"data/file": "first", "data/deep/inner": "deep", "gone": "never seen"}, LINKS)
    load(daemon, "flat:1", first)
    load(daemon, "tall:1", first, layer({"data/file": "second"}), layer({".wh.gone": ""}))
    load(daemon, "empty:1")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        running.load_busybox()
        load_all(running)
        yield running


def words(image: str, *more: str) -> list[str]:
    return ["--network", "none", "--mount", ",".join(["type=image", f"src={image}", "dst=/x", *more])]


def run(daemon: Wharfd, image: str, script: str, *more: str, flags: tuple[str, ...] = ()) -> str:
    out = daemon.docker("run", "--rm", *flags, *words(image, *more), "busybox", "sh", "-c", script, check=False)
    return out.stdout + out.stderr


def views(daemon: Wharfd) -> list[str]:
    """Snapshots of containers beside their roots."""
    return [name for name in os.listdir(f"{daemon.root}/data/snapshots/active") if "." in name]


def layers(daemon: Wharfd) -> int:
    return len(os.listdir(f"{daemon.root}/data/snapshots/committed"))


@pytest.mark.parametrize(("image", "content"), [("flat:1", "first"), ("tall:1", "second")])
def test_the_files_of_all_layers_are_seen_and_stay_as_they_are(daemon: Wharfd, image: str, content: str) -> None:
    said = run(daemon, image, "cat /x/data/file; ls /x; stat -c ' %a %u:%g' /x/data/file; touch /x/new; rm /x/abs")
    assert said.startswith(content) and " 640 7:8" in said
    assert ("gone" in said.split()) == (image == "flat:1"), "the whiteout of a layer above hides it"
    assert said.count("Read-only file system") == 2
    assert views(daemon) == []


def test_nobody_writes_to_an_image_whatever_his_rights(daemon: Wharfd) -> None:
    script = "mount -o remount,rw /x; mount -o remount,rw,bind /x; echo changed > /x/data/file; echo > /x/new"
    run(daemon, "flat:1", script, flags=("--privileged",))
    assert run(daemon, "flat:1", "cat /x/data/file; ls /x/new").startswith("first")
    assert "No such file" in run(daemon, "flat:1", "ls /x/new"), "the layer is everybody's"


def test_an_image_without_layers_is_an_empty_directory(daemon: Wharfd) -> None:
    assert run(daemon, "empty:1", "ls -A /x; touch /x/new; echo over").endswith("Read-only file system\n")


@pytest.mark.parametrize(
    ("part", "path", "said"),
    [
        ("data", "/x/file", "first"),
        ("data/deep", "/x/inner", "deep"),
        ("data/file", "/x", "first"),
        ("within", "/x/inner", "deep"),
        ("nothing/../data/./deep", "/x/inner", "deep"),
    ],
)
def test_a_part_of_an_image(daemon: Wharfd, part: str, path: str, said: str) -> None:
    assert run(daemon, "flat:1", f"cat {path}", f"image-subpath={part}").removeprefix("WARNING").startswith(said)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("abs", "path concatenation escapes the base directory"),
        ("up", "path concatenation escapes the base directory"),
        ("nothing", "no such file or directory"),
        ("../x", "subpath must be a relative path within the volume"),
        ("/etc", "subpath must be a relative path within the volume"),
    ],
)
def test_nothing_outside_of_the_image(daemon: Wharfd, part: str, said: str) -> None:
    out = run(daemon, "flat:1", "ls /x", f"image-subpath={part}")
    assert said in out and "passwd" not in out
    assert daemon.docker("ps", "-aq").stdout == "" and views(daemon) == []


def test_it_outlives_the_daemon_and_the_image(daemon: Wharfd) -> None:
    before = layers(daemon)
    load(daemon, "short:1", layer({"only": "here"}))
    daemon.docker("run", "-d", "--name", "user", "--stop-signal", "KILL", *words("short:1"), "busybox", "sleep", "99")
    image = daemon.docker("image", "inspect", "-f", "{{.Id}}", "short:1").stdout.strip()
    try:
        refused = daemon.docker("rmi", "short:1", check=False)
        assert "is using its referenced image" in refused.stderr
        daemon.kill()
        assert daemon.process
        daemon.start()
        assert daemon.docker("exec", "user", "cat", "/x/only").stdout == "here"
        daemon.docker("image", "prune", "-af")
        assert daemon.docker("image", "inspect", "-f", "{{.Id}}", "short:1").stdout.strip() == image
        daemon.docker("rmi", "-f", "short:1")
        assert daemon.docker("exec", "user", "cat", "/x/only").stdout == "here"
        daemon.docker("restart", "-t", "0", "user")
        assert daemon.docker("exec", "user", "cat", "/x/only").stdout == "here"
        daemon.docker("stop", "-t", "0", "user")
        daemon.stop()
        daemon.start()
        daemon.docker("start", "user")
        assert daemon.docker("exec", "user", "cat", "/x/only").stdout == "here"
    finally:
        daemon.docker("rm", "-f", "user", check=False)
        daemon.docker("rmi", "-f", "short:1", check=False)
    assert layers(daemon) <= before and views(daemon) == [], "the layers went with their last user"
    load_all(daemon)  # the prune took them
    daemon.load_busybox()


def test_volumes_from_has_a_view_of_its_own(daemon: Wharfd) -> None:
    load(daemon, "short:1", layer({"only": "here"}))
    daemon.docker("create", "--name", "donor", *words("short:1", "image-subpath=only"), "busybox", "true")
    daemon.docker("rmi", "-f", "short:1")
    daemon.docker("create", "--name", "taker", "--network", "none", "--volumes-from", "donor", "busybox", "cat", "/x")
    daemon.docker("rm", "donor")
    try:
        assert daemon.docker("start", "-a", "taker").stdout == "here"
    finally:
        daemon.docker("rm", "-f", "taker")
    assert views(daemon) == []


def test_copies_see_it_and_do_not_write_to_it(daemon: Wharfd) -> None:
    mounts = words("tall:1", "image-subpath=data")
    daemon.docker("create", "--name", "copied", *mounts, "--mount", "type=image,src=tall:1,dst=/y", "busybox",
                  "sleep", "1000")  # fmt: skip
    try:
        for verb in ("inspect", "start"):  # at rest, then running
            daemon.docker(verb, "copied")
            assert "second" in daemon.docker("cp", "copied:/x/file", "-").stdout
            assert "deep" in daemon.docker("cp", "copied:/y/data/deep/inner", "-").stdout
            refused = daemon.docker("cp", "/etc/hostname", "copied:/x/new", check=False)
            assert "mounted volume is marked read-only" in refused.stderr
    finally:
        daemon.docker("rm", "-f", "copied")


def test_what_it_is_made_of_is_shown(daemon: Wharfd) -> None:
    out = daemon.docker("create", "--name", "shown", *words("tall:1", "image-subpath=data"), "busybox", "true")
    assert out.stderr == "WARNING: Image mount is an experimental feature\n"
    try:
        found = json.loads(daemon.docker("inspect", "shown").stdout)[0]
        (mount,) = found["Mounts"]
        assert mount.pop("Source").endswith("/merged")
        assert mount == {
            "Type": "image", "Name": "tall:1", "Destination": "/x", "Mode": "", "RW": False, "Propagation": "rprivate",
        }  # fmt: skip
        (asked,) = found["HostConfig"]["Mounts"]
        assert asked == {"Type": "image", "Source": "tall:1", "Target": "/x", "ImageOptions": {"Subpath": "data"}}
        assert daemon.docker("ps", "-aq", "--filter", "volume=tall:1").stdout.strip() == found["Id"][:12]
    finally:
        daemon.docker("rm", "-f", "shown")


def test_a_whole_system_can_be_looked_at(daemon: Wharfd) -> None:
    load(daemon, "system:1", layer_tar())
    assert "busybox" in run(daemon, "system:1", "chroot /x /bin/busybox --help 2>&1 | head -1; ls /x/bin/busybox")
    daemon.docker("rmi", "system:1")
