"""Mounts, devices and paths as config.json has them (musts.tsv): every word, every device, what is hidden."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.oci.edits import linux, mount
from tests.system.oci.lab import COMMAND, Edit, OciLab


def test_mounts_are_made_in_order(oci: OciLab) -> None:
    first, second = mount("/mnt", "tmpfs", "one"), mount("/mnt/in", "tmpfs", "two")
    assert oci.run("grep -o '^[a-z]* /mnt[/in]*' /proc/mounts", first, second) == "one /mnt\ntwo /mnt/in\n"


def test_options_of_a_mount_are_its_flags(oci: OciLab) -> None:
    out = oci.run(
        "grep ' /mnt ' /proc/mounts", mount("/mnt", "tmpfs", "t", "ro", "nosuid", "nodev", "noexec", "size=64k")
    )
    assert set(out.split()[3].split(",")) >= {"ro", "nosuid", "nodev", "noexec", "size=64k"}


WORDS = {
    "ro": "ro", "rw": "rw", "nosuid": "nosuid", "suid": "", "nodev": "nodev", "dev": "", "noexec": "noexec", "exec": "",
    "sync": "sync", "async": "", "dirsync": "dirsync", "noatime": "noatime", "atime": "relatime", "defaults": "rw",
    "nodiratime": "nodiratime", "diratime": "", "relatime": "relatime", "norelatime": "relatime", "strictatime": "",
    "nostrictatime": "relatime", "iversion": "", "noiversion": "", "lazytime": "lazytime", "nolazytime": "",
    "mand": "", "nomand": "", "silent": "", "loud": "", "nosymfollow": "nosymfollow", "symfollow": "",
    "rro": "ro", "rrw": "rw", "rnosuid": "nosuid", "rsuid": "", "rnodev": "nodev", "rdev": "", "rnoexec": "noexec",
    "rexec": "", "rnodiratime": "nodiratime", "rdiratime": "", "rnoatime": "noatime", "ratime": "relatime",
    "rrelatime": "relatime", "rnorelatime": "relatime", "rstrictatime": "", "rnostrictatime": "relatime",
    "rnosymfollow": "nosymfollow", "rsymfollow": "", "tmpcopyup": "",
}  # fmt: skip
"""Every flag that config.md#linux-mount-options demands, and what /proc/mounts shows of it."""


OPPOSITES = {"": {"nosuid", "nodev", "noexec", "sync", "nodiratime", "lazytime", "nosymfollow"}, "rw": {"ro"}}


def test_every_flag_of_a_mount_that_is_demanded_is_applied(oci: OciLab) -> None:
    edits = [mount(f"/mnt/{word}", "tmpfs", "t", word) for word in WORDS]
    lines = oci.run("grep ' /mnt/' /proc/mounts", *edits).splitlines()
    seen = {fields[1].removeprefix("/mnt/"): set(fields[3].split(",")) for fields in map(str.split, lines)}
    assert seen.keys() == WORDS.keys()
    for word, shown in WORDS.items():
        assert not shown or shown in seen[word], (word, seen[word])
        assert not OPPOSITES.get(shown, set()) & seen[word], (word, seen[word])


def test_flags_for_all_below_a_bind_and_words_that_a_bind_would_pass_over(oci: OciLab) -> None:
    below = oci.directory / "below"
    (below / "deep").mkdir(parents=True)
    words = ("rbind", "rro", "rnoexec", "rnosuid", "rnodev", "rnosymfollow", "rnoatime")
    with _mounted(below), _mounted(below / "deep"):
        out = oci.run("grep ' /mnt' /proc/mounts", mount("/mnt", "bind", str(below), *words))
    wanted = {"ro", "noexec", "nosuid", "nodev", "nosymfollow", "noatime"}
    assert [set(line.split()[3].split(",")) >= wanted for line in out.splitlines()] == [True, True], out
    assert "filesystem-specific options applied: noexecute" in oci.refused(
        mount("/mnt", "bind", str(below), "bind", "noexecute")
    )


@contextlib.contextmanager
def _mounted(place: Path) -> Iterator[None]:
    """A tmpfs, private so that it is nobody else's."""
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "X-mount.mkdir", "t", place], check=True)
    try:
        subprocess.run(["mount", "--make-private", place], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_tmpfs_begins_with_what_it_lies_over_if_that_is_asked_for(oci: OciLab) -> None:
    bundle = oci.bundle(
        mount("/data", "tmpfs", "t", "tmpcopyup", "ro"),
        script="cd /data; cat dir/file; readlink link; stat -c '%a %u:%g' dir/file dir; touch x 2>&1",
    )
    folder = bundle / "rootfs/data/dir"
    folder.mkdir(parents=True)
    (folder / "file").write_text("here\n")
    (folder / "file").chmod(0o604)
    os.chown(folder / "file", 33, 100)
    (bundle / "rootfs/data/link").symlink_to("/etc/passwd")
    out = oci.call("run", "-b", str(bundle), oci.name()).stdout.splitlines()
    assert out == ["here", "/etc/passwd", "604 33:100", "755 0:0", "touch: x: Read-only file system"]


def test_maps_of_a_mount_need_no_word_but_each_other(oci: OciLab) -> None:
    source = oci.directory / "mapped"
    source.mkdir()
    os.chown(source, 7, 7)
    maps = [{"containerID": 0, "hostID": 1000, "size": 100}]

    def mapped(*names: str, **more: Any) -> Edit:
        item = {"destination": "/mnt", "type": "bind", "source": str(source), "options": ["bind"], **more}
        return lambda config: config["mounts"].append({**item, **dict.fromkeys(names, maps)})

    assert "must be given together" in oci.refused(mapped("uidMappings"))
    assert "only supported for bind mounts" in oci.refused(
        mapped("uidMappings", "gidMappings", type="tmpfs", options=[])
    )
    assert "needs maps of its own" in oci.refused(mapped(options=["bind", "idmap"]))
    bundle = oci.bundle(mapped("uidMappings", "gidMappings"), script="stat -c %u:%g /mnt")
    assert oci.ok("run", "-b", str(bundle), oci.name()) == "1007:1007\n"


def test_a_bind_is_recursive_or_not_and_relative_to_the_bundle(oci: OciLab) -> None:
    bundle = oci.bundle(mount("/mnt", "bind", "data", "bind", "ro"), script="cat /mnt/file; touch /mnt/x 2>&1")
    (bundle / "data").mkdir()
    (bundle / "data/file").write_text("here\n")
    done = oci.call("run", "-b", str(bundle), oci.name())
    assert done.stdout == "here\ntouch: /mnt/x: Read-only file system\n"


def test_default_devices_and_links(oci: OciLab) -> None:
    out = oci.run(
        "cd /dev; stat -c '/dev/%n %t:%T %a' null zero full random urandom tty; "
        "for n in fd stdin stdout stderr ptmx; do readlink $n; done"
    )
    assert out.split() == [
        *("/dev/null", "1:3", "666", "/dev/zero", "1:5", "666", "/dev/full", "1:7", "666"),
        *("/dev/random", "1:8", "666", "/dev/urandom", "1:9", "666", "/dev/tty", "5:0", "666"),
        *("/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx"),
    ]  # fmt: skip


def test_devices_are_made_as_described(oci: OciLab) -> None:
    items = [
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5},
        {"path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 33, "gid": 100},
        {"path": "/dev/pipe", "type": "p"},
    ]
    out = oci.run("stat -c '%F %t:%T %a %u:%g' /dev/mine; stat -c %F /dev/pipe", linux(devices=items))
    assert out == "character special file 1:3 640 33:100\nfifo\n"


def test_another_file_in_the_place_of_a_device_is_an_error_and_stays(oci: OciLab) -> None:
    item = {"path": "/etc/taken", "type": "c", "major": 1, "minor": 3}
    bundle = oci.bundle(linux(devices=[item, {"path": "/etc/pipe", "type": "p", "major": 7}]), script="echo fine")
    taken = bundle / "rootfs/etc/taken"
    taken.write_text("mine")
    error = oci.fails("run", "-b", str(bundle), oci.name())
    assert "mknod /etc/taken: file exists" in error and taken.read_text() == "mine"
    taken.unlink()
    for _ in range(2):  # the second finds the nodes of the first
        assert oci.ok("run", "-b", str(bundle), oci.name()) == "fine\n"


def test_device_rules_let_the_default_ones_through_only(oci: OciLab) -> None:
    items = [{"path": "/dev/kmsg2", "type": "c", "major": 1, "minor": 11}]
    out = oci.run(
        "echo x > /dev/null && echo null; head -c1 /dev/kmsg2 2>&1 >/dev/null | grep -o 'not permitted'; true",
        linux(devices=items),
    )
    assert out == "null\nnot permitted\n"


def test_masked_and_read_only_paths(oci: OciLab) -> None:
    edit = linux(maskedPaths=["/etc/passwd", "/root", "/missing"], readonlyPaths=["/home", "/proc/sys"])
    script = "wc -c < /etc/passwd; ls -a /root | wc -l; touch /home/x 2>&1; touch /root/x 2>&1"
    bundle = oci.bundle(edit, script=script)
    (bundle / "rootfs/root/secret").write_text("x")
    out = oci.call("run", "-b", str(bundle), oci.name()).stdout.splitlines()
    assert out[0].strip() == "0"
    assert out[1].strip() == "2"
    assert all("Read-only file system" in line for line in out[2:4]) and len(out) == 4


@pytest.mark.parametrize(
    ("word", "field"), [("shared", "shared:"), ("slave", "master:"), ("private", ""), ("unbindable", "unbindable")]
)
def test_the_propagation_of_the_root(oci: OciLab, word: str, field: str) -> None:
    # Beneath shared mounts, which a slave follows.
    bundle = oci.bundle(linux(rootfsPropagation=word), script="grep ' / / \\|/rootfs / ' /proc/self/mountinfo")
    command = ["unshare", "-m", "--propagation", "shared", COMMAND, "--root", str(oci.root), "run", "-b", str(bundle)]
    out = subprocess.run([*command, oci.name()], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
    optional = out.split(" - ")[0].split()[6:]
    if field:
        assert any(item.startswith(field) for item in optional), out
    else:
        assert not optional, out
    assert "is not supported" in oci.refused(linux(rootfsPropagation="sideways"))


def test_the_default_file_systems_are_there_when_asked_for(oci: OciLab) -> None:
    out = oci.run("grep -E ' /(proc|dev|dev/pts|dev/shm|sys|dev/mqueue) ' /proc/mounts | cut -d' ' -f2,3")
    assert set(out.splitlines()) == {
        "/proc proc", "/dev tmpfs", "/dev/pts devpts", "/dev/shm tmpfs", "/sys sysfs", "/dev/mqueue mqueue",
    }  # fmt: skip
