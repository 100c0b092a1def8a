"""What must never happen, shown where it can do no harm: the root cgroup, labels in a fake /proc; names of scopes."""

import ctypes
import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from wharf.kernel.cgroup import open_cgroup
from wharf.kernel.probe import probe
from wharf.runtime import credentials
from wharf.runtime.oci import cgroups
from wharf.runtime.oci.errors import CommandFailed


@pytest.mark.parametrize("path", ["", "/", "//", "/..", "/a/.."])
@pytest.mark.parametrize("controller", ["", "pids"])
def test_the_root_of_a_hierarchy_is_neither_ended_nor_removed(tmp_path: Path, controller: str, path: str) -> None:
    """A directory stands for the hierarchy: a call that came through would write cgroup.kill there, or remove it."""
    (tmp_path / "cgroup.kill").write_text("")
    (tmp_path / "cgroup.procs").write_text("")
    cgroup = open_cgroup({controller: str(tmp_path)}, path)
    for call in (cgroup.kill, cgroup.remove):
        with pytest.raises(PermissionError, match="holds the whole host"):
            call()
    assert (tmp_path / "cgroup.kill").read_text() == ""


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", "/system.slice/wharf-x.scope"), (":podman:a", "/system.slice/podman-a.scope"),
        ("machine-a.slice:libpod:b", "/machine.slice/machine-a.slice/libpod-b.scope"), ("-.slice::c", "/c.scope"),
    ],
)  # fmt: skip
def test_the_scope_that_a_path_for_systemd_means(given: str, path: str) -> None:
    host = replace(probe(), systemd_scopes=True)
    assert cgroups.place("x", {"linux": {"cgroupsPath": given}}, True, host) == path


@pytest.mark.parametrize("given", ["/a", "a:b", "a.slice:b:c:d", "a:b:c", "a.slice:b:", "../x.slice:b:c", ":b:../c"])
def test_what_names_no_scope_is_refused(given: str) -> None:
    with pytest.raises(CommandFailed):
        cgroups.place("x", {"linux": {"cgroupsPath": given}}, True, replace(probe(), systemd_scopes=True))


def test_a_path_that_looks_like_a_scope_is_made_at_once_where_systemd_is_not_asked(tmp_path: Path) -> None:
    cgroup = open_cgroup({"": str(tmp_path)}, "/a.scope", scope=False)
    cgroup.create({})
    assert (tmp_path / "a.scope").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="lays a directory over /proc, in a mount namespace of its own")
def test_labels_are_not_written_through_the_proc_that_is_there_later(tmp_path: Path) -> None:
    """A root file system may have plain files at /proc/self/attr, which take any word (CVE-2019-16884)."""
    fake = tmp_path / "self/attr/exec"
    fake.parent.mkdir(parents=True)
    fake.write_text("")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, _told(tmp_path).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        assert pipe.read() == "error setting the process label not:a:label: invalid argument"
    assert fake.read_text() == ""


def _told(fake_proc: Path) -> str:
    """What a process is told that wants a label no kernel takes, with a fake /proc over the true one at the end."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x20000) or libc.mount(b"", b"/", None, 0x44000, None):
        return os.strerror(ctypes.get_errno())
    try:
        labels = credentials.Labels({"selinuxLabel": "not:a:label"})
        if libc.mount(os.fsencode(fake_proc), b"/proc", None, 0x1000, None):
            return errno.errorcode[ctypes.get_errno()]
        labels.put_on()
    except credentials.InitFailed as error:
        return error.text
    return "the label was taken"
