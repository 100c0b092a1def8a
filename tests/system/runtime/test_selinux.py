"""SELinux as far as a host without it can show: files are relabelled by descriptors, and options are accepted."""

import os
from pathlib import Path

import pytest

from tests.support.wharfd import Wharfd
from wharf.kernel.lsm import selinux

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


def label_of(path: Path) -> str:
    return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode()


@pytest.mark.parametrize(("shared", "level"), [(False, "s0:c1,c2"), (True, "s0")], ids=["Z", "z"])
def test_a_tree_is_relabelled_and_nothing_outside_of_it(tmp_path: Path, shared: bool, level: str) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    outside.mkdir()
    (outside / "file").write_text("")
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("")
    (tree / "link").symlink_to(outside)
    (tree / "sub/link").symlink_to(outside / "file")
    selinux.relabel(str(tree), LABEL, shared)
    wanted = f"system_u:object_r:container_file_t:{level}"
    assert [label_of(path) for path in (tree, tree / "sub", tree / "sub/file", tree / "link", tree / "sub/link")] == (
        [wanted] * 5
    )
    for path in (outside, outside / "file"):
        assert "security.selinux" not in os.listxattr(path)


def test_options_are_accepted_without_it() -> None:
    """As Docker does: labels are not looked at where there is no SELinux."""
    if os.path.isdir("/sys/fs/selinux"):
        pytest.skip("this host has SELinux")
    with Wharfd("--selinux-enabled") as daemon:
        daemon.load_busybox()
        assert "could not enable SELinux" in daemon.log()
        assert "selinux" not in daemon.docker("info", "-f", "{{.SecurityOptions}}").stdout
        for option in ("label=type:x", "label=level:s0:c1,c2", "label=disable", "label=nonsense", "label:disable"):
            assert daemon.docker("run", "--rm", "--security-opt", option, "busybox", "echo", "ran").stdout == "ran\n"
        place = Path(daemon.root) / "bound"
        place.mkdir()
        daemon.docker("run", "--name", "bound", "-v", f"{place}:/b:Z", "-v", "named:/v:z", "busybox", "touch", "/b/x")
        assert "security.selinux" not in os.listxattr(place)
        assert daemon.docker("inspect", "-f", "{{.ProcessLabel}}{{.MountLabel}}", "bound").stdout == "\n"
