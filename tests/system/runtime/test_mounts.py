"""Mounts of the plan, seen from inside the container and from the host."""

import copy
import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.runtime.conftest import Lab, finish, make_spec
from wharf.runtime.requests import StartFailed
from wharf.runtime.supervisor import Supervisor
from wharf.spec.mount import Overlay


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A shared mount with the directories `inner` and `outer`."""
    place = tmp_path / "shared"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "shared", place], check=True)
    try:
        subprocess.run(["mount", "--make-shared", place], check=True)
        (place / "inner").mkdir()
        (place / "outer").mkdir()
        yield place
    finally:
        subprocess.run(["umount", "-R", place], check=True)


@pytest.mark.parametrize(
    ("word", "in_", "out"),
    [("rshared", True, True), ("shared", True, True), ("rslave", True, False), ("rprivate", False, False)],
)
def test_mounts_propagate_as_asked(lab: Lab, shared: Path, word: str, in_: bool, out: bool) -> None:
    spec = make_spec(["sleep", "100"])
    spec["mounts"].append({"destination": "/m", "type": "bind", "source": str(shared), "options": ["rbind", word]})
    spec["linux"]["rootfsPropagation"] = {"rshared": "shared", "shared": "shared", "rslave": "rslave"}.get(word, "")
    running = lab.supervisor.prepare(lab.request(spec)).go()
    enter = ["nsenter", "-t", str(running.pid), "-m", "mount", "-t", "tmpfs", "inner", "/m/inner"]
    subprocess.run(enter, check=True)
    subprocess.run(["mount", "-t", "tmpfs", "outer", shared / "outer"], check=True)
    inside = Path(f"/proc/{running.pid}/mountinfo").read_text()
    outside = Path("/proc/self/mountinfo").read_text()
    running.signal(9)
    running.wait(10)
    assert " /m/inner " in inside
    assert (" /m/outer " in inside) == in_
    assert (f" {shared}/inner " in outside) == out


# -- where the kernel has mount(2) alone


@pytest.fixture(scope="module")
def old(lab: Lab) -> Iterator[Lab]:
    """The lab on a host without open_tree(2), mount_setattr(2) and `lowerdir+`."""
    found = copy.copy(lab)
    found.host = dataclasses.replace(
        lab.host, new_mount_api=False, overlay_lowerdir_append=False, idmapped_mounts=False, recursive_readonly=False
    )
    found.exec_root = str(lab.directory / "exec-old")
    found.supervisor = Supervisor(found.exec_root, found.data_root, found.host)
    found.supervisor.start()
    try:
        yield found
    finally:
        found.supervisor.close()


def bind(source: Path, target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": str(source), "options": list(options)}


def output(lab: Lab, script: str, *mounts: dict[str, Any]) -> str:
    """What a container with these mounts besides prints."""
    spec = make_spec(["sh", "-c", script])
    spec["mounts"] += mounts
    waiting = lab.supervisor.prepare(lab.request(spec))
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    return finish(waiting.go(), stream)[1]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file, a directory with a link that leads out, and a mount below."""
    for name in ("below", "part/inner"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").write_text("file")
    (tmp_path / "part/inner/deep").write_text("deep")
    (tmp_path / "part/out").symlink_to("/etc")
    subprocess.run(["mount", "-t", "tmpfs", "below", tmp_path / "below"], check=True)
    try:
        (tmp_path / "below/there").touch()
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)


@pytest.mark.parametrize("which", ["lab", "old"])
def test_binds_are_the_same_whatever_the_kernel_has(which: str, request: pytest.FixtureRequest, tree: Path) -> None:
    lab: Lab = request.getfixturevalue(which)
    script = """
        cat /file /part/deep; echo; ls /all/below /top/below; touch /ro/x /all/made 2>&1; ls /all/made
        grep -e ' /all ' -e ' /ro ' -e ' /flags ' /proc/self/mountinfo | cut -d' ' -f5,6,7 | sort
    """
    out = output(
        lab,
        script,
        bind(tree / "file", "/file", "rbind", "rprivate"),
        bind(tree / "part", "/part", "bind", "X-mount.subdir=inner"),
        bind(tree, "/all", "rbind", "rprivate"),
        bind(tree, "/top", "bind"),
        bind(tree, "/ro", "rbind", "ro"),
        bind(tree / "part", "/flags", "bind", "nosuid", "nodev", "noexec"),
    )
    assert out.splitlines() == [
        "filedeep",
        "/all/below:",
        "there",
        "",
        "/top/below:",
        "touch: /ro/x: Read-only file system",
        "/all/made",
        "/all rw,relatime -",
        "/flags rw,nosuid,nodev,noexec,relatime -",
        "/ro ro,relatime -",
    ]


@pytest.mark.parametrize("which", ["lab", "old"])
def test_a_part_leads_nowhere_else(which: str, request: pytest.FixtureRequest, tree: Path) -> None:
    lab: Lab = request.getfixturevalue(which)
    for part, words in (("out", "path concatenation escapes the base directory"), ("none", "cannot access path")):
        with pytest.raises(StartFailed, match=words):
            output(lab, "true", bind(tree / "part", "/part", "bind", f"X-mount.subdir={part}"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["rshared"], "a shared mount needs open_tree"),
        (["ro", "rro"], "rro needs mount_setattr"),
        (["idmap"], "idmap needs mount_setattr"),
    ],
)
def test_what_mount_cannot_do_is_refused_by_name(old: Lab, tmp_path: Path, options: list[str], what: str) -> None:
    with pytest.raises(StartFailed, match=what):
        output(old, "true", bind(tmp_path, "/m", "rbind", *options))


def test_cgroups_and_file_systems_without_the_newer_calls(old: Lab) -> None:
    out = output(old, "ls -d /proc/1 /dev/null /dev/pts/ptmx /sys/kernel; ls -A /sys/fs/cgroup | wc -l; touch /made")
    assert out.splitlines()[:4] == ["/dev/null", "/dev/pts/ptmx", "/proc/1", "/sys/kernel"]
    assert int(out.splitlines()[4]) > 0


# -- id-mapped mounts


def ids(first: int, host: int, count: int) -> list[dict[str, int]]:
    return [{"containerID": first, "hostID": host, "size": count}]


@pytest.mark.parametrize(("word", "below"), [("idmap", "0:0"), ("ridmap", "500:600")])
def test_a_mount_has_maps_of_its_own(lab: Lab, tree: Path, word: str, below: str) -> None:
    os.chown(tree / "file", 7, 8)
    item = bind(tree, "/m", "rbind", word)
    item |= {"uidMappings": ids(0, 500, 10), "gidMappings": ids(0, 600, 10)}
    assert output(lab, "stat -c %u:%g /m/file /m/below/there", item).split() == ["507:608", below]


def test_a_map_of_users_alone_is_one_of_groups_too(lab: Lab, tree: Path) -> None:
    item = bind(tree, "/m", "bind", "idmap") | {"uidMappings": ids(0, 500, 10)}
    assert output(lab, "stat -c %u:%g /m/file", item) == "500:500\n"


def test_no_map_is_told(lab: Lab, tree: Path) -> None:
    with pytest.raises(StartFailed, match="idmap needs maps of its own where the container has no user namespace"):
        output(lab, "true", bind(tree, "/m", "bind", "idmap"))


@pytest.mark.parametrize("which", ["lab", "old"])
def test_layers_of_an_image_whatever_the_kernel_has(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    lab: Lab = request.getfixturevalue(which)
    for name in ("top", "low"):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / name).touch()
    layers = Overlay((str(tmp_path / "top"), str(tmp_path / "low")))
    spec = make_spec(["sh", "-c", "exec 2>&1; ls /img/etc /part; touch /img/new; grep -c ' /img ' /proc/mounts"])
    spec["mounts"].append(bind(Path("/not/there"), "/img", "rbind", "ro", "rprivate"))
    images = {"/not/there": layers}
    if which == "lab":
        spec["mounts"].append(bind(Path("/nor/this"), "/part", "rbind", "ro", "rprivate", "X-mount.subdir=etc"))
        images["/nor/this"] = layers
    waiting = lab.supervisor.prepare(lab.request(spec, images=images))
    stream = waiting.attach(stdin=False, stdout=True, stderr=True)
    out = finish(waiting.go(), stream)[1]
    assert "/img/etc:\nlow\ntop\n" in out and "Read-only file system" in out and out.endswith("1\n")
    assert ("/part:\nlow\ntop\n" in out) == (which == "lab")


def test_a_part_of_an_image_needs_the_newer_calls(old: Lab, tmp_path: Path) -> None:
    spec = make_spec(["true"])
    spec["mounts"].append(bind(Path("/not/there"), "/part", "rbind", "ro", "X-mount.subdir=etc"))
    with pytest.raises(StartFailed, match="a part of an image needs open_tree"):
        old.supervisor.prepare(old.request(spec, images={"/not/there": Overlay((str(tmp_path),))})).go()
