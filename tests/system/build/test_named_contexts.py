"""`wharf build --build-context`: what a name stands for, in the built image."""

import os
from pathlib import Path

import pytest

from tests.support.building import build, inside, names_in, wharf, write
from tests.support.wharfd import Wharfd


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A directory beside the context."""
    root = write(tmp_path / "other", {"file": "beside\n", "d/inner": "inner\n", ".dockerignore": "out\n", "out": "o"})
    (root / "link").symlink_to("file")
    os.chmod(root / "d/inner", 0o751)
    return root


def _made(daemon: Wharfd, tmp_path: Path, text: str, *flags: str, check: bool = True) -> str:
    return build(daemon, write(tmp_path / "c", {"Dockerfile": text}), "-t", "named", *flags, check=check)


def test_a_directory_to_copy_of_and_to_bind(daemon: Wharfd, other: Path, tmp_path: Path) -> None:
    text = (
        "FROM busybox\nCOPY --from=side . /c/\nCOPY --from=side link d/inner /x/\n"
        "RUN --mount=from=side,target=/m cat /m/file > /read\n"
    )
    _made(daemon, tmp_path, text, "--build-context", f"side={other}")
    script = "cat /read /x/link; cd /c; find . | sort; stat -c '%a %u %g' d/inner; readlink link"
    expected = "beside\nbeside\n.\n./.dockerignore\n./d\n./d/inner\n./file\n./link\n751 0 0\nfile\n"
    assert inside(daemon, "named", script) == expected


def test_only_a_change_runs_its_steps_again(daemon: Wharfd, other: Path, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY --from=side file /\nRUN echo ran\n"
    flags = ("--build-context", f"side={other}", "--progress=plain")
    _made(daemon, tmp_path, text, *flags)
    (other / "d/inner").write_text("not copied")
    assert _made(daemon, tmp_path, text, *flags).count("Using cache") == 2
    (other / "file").write_text("changed\n")
    assert "ran" in _made(daemon, tmp_path, text, *flags)
    assert inside(daemon, "named", "cat /file") == "changed\n"


def test_a_name_stands_for_a_stage_and_for_an_image(daemon: Wharfd, other: Path, tmp_path: Path) -> None:
    _made(daemon, tmp_path, "FROM busybox\nRUN echo base > /which\nENV FROM_BASE=1\n", "-t", "mine:1")
    text = (
        "FROM busybox AS part\nRUN echo stage > /which\nFROM nosuch.example/a/b:latest\nCOPY --from=part /which /part\n"
    )
    names = ("--build-context", "nosuch.example/a/b=docker-image://mine:1")
    _made(daemon, tmp_path, text, *names)
    assert inside(daemon, "named", "cat /which /part; echo $FROM_BASE") == "base\nstage\n1\n"
    _made(daemon, tmp_path, text, *names, "--build-context", "part=docker-image://mine:1")
    assert inside(daemon, "named", "cat /part") == "base\n"
    (other / "which").write_text("directory\n")
    _made(daemon, tmp_path, text, *names, "--build-context", f"part={other}")
    assert inside(daemon, "named", "cat /part") == "directory\n"


def test_a_directory_to_begin_with(daemon: Wharfd, other: Path, tmp_path: Path) -> None:
    text = "FROM side\nCOPY --from=side file /second\n"
    flags = ("--build-context", f"side={other}", "-o", f"type=tar,dest={tmp_path}/out.tar")
    _made(daemon, tmp_path, text, *flags)
    assert set(names_in(tmp_path / "out.tar")) >= {"file", "second", "d/inner", "link"}
    assert "out" not in names_in(tmp_path / "out.tar")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("side", "invalid context value: side, expected key=value"),
        ("side=/no/such/directory", "failed to get build context side: /no/such/directory: not a directory"),
        ("Side=docker-image://busybox", "invalid context name Side"),
        ("side=oci-layout:///tmp", "unsupported context source 'oci-layout:///tmp' for side"),
        ("side=docker-image://Not/Valid", "invalid reference format"),
        ("side=docker-image://nosuch.invalid/x", "nosuch.invalid"),
    ],
)
def test_what_is_refused(daemon: Wharfd, tmp_path: Path, given: str, words: str) -> None:
    assert words in _made(daemon, tmp_path, "FROM side\n", "-t", "refused", "--build-context", given, check=False)
    assert wharf(daemon, "image", "inspect", "refused", check=False).returncode == 1
