"""A part of a volume in a container: nothing in the volume leads out of it."""

from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd

pytestmark = pytest.mark.xdist_group("runtime-subpath")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        script = "mkdir -p a/b; echo inside >a/b/file; ln -s a/b within; ln -s /etc out; ln -s ../../../../etc up"
        started.docker(
            "run", "--rm", "--network", "none", "-v", "vol:/vol", "-w", "/vol", "busybox", "sh", "-c", script
        )
        yield started


def mounted(daemon: Wharfd, subpath: str, *command: str) -> tuple[int, str, str]:
    mount = f"type=volume,src=vol,dst=/x,volume-subpath={subpath}"
    out = daemon.docker("run", "--rm", "--network", "none", "--mount", mount, "busybox", *command, check=False)
    return out.returncode, out.stdout, out.stderr


@pytest.mark.parametrize(("subpath", "path"), [("a/b", "/x/file"), ("within", "/x/file"), ("a/b/file", "/x")])
def test_a_part_of_a_volume(daemon: Wharfd, subpath: str, path: str) -> None:
    assert mounted(daemon, subpath, "cat", path)[:2] == (0, "inside\n")


@pytest.mark.parametrize("subpath", ["out", "up", "a/../../x", "nothing"])
def test_nothing_outside_of_the_volume(daemon: Wharfd, subpath: str) -> None:
    code, out, error = mounted(daemon, subpath, "ls", "/x")
    assert code in (125, 127), (out, error)
    assert out == ""
    assert daemon.docker("ps", "-aq").stdout == ""


def test_copies_see_the_same_part(daemon: Wharfd) -> None:
    mount = "type=volume,src=vol,dst=/x,volume-subpath="
    for name, subpath in (("good", "a/b"), ("bad", "out")):
        daemon.docker("create", "--name", name, "--network", "none", "--mount", mount + subpath, "busybox", "true")
    try:
        assert "inside" in daemon.docker("cp", "good:/x/file", "-").stdout
        assert daemon.docker("cp", "bad:/x/hostname", "-", check=False).returncode == 1
    finally:
        daemon.docker("rm", "-f", "good", "bad")
