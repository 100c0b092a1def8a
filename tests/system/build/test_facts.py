"""Facts of dockerfile.md that no comparison with BuildKit shows, by both ways in: what is in the image."""

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from tests.support.wharfd import ROOT, Wharfd, docker_client

WAYS = {"docker": [docker_client(), "build"], "wharf": [str(ROOT / ".venv/bin/wharf"), "build"]}
pytestmark = pytest.mark.parametrize("way", WAYS)


def build(daemon: Wharfd, way: str, place: Path, text: str, *flags: str, feed: str | None = None) -> str:
    """What the build told; the image is `facts:1`. The Dockerfile comes on standard input where `feed` is given."""
    (place / "Dockerfile").write_text(text)
    done = subprocess.run(
        [*WAYS[way], "-t", "facts:1", *flags, *([] if feed is not None else [str(place)])],
        env={**daemon.environment, "DOCKER_BUILDKIT": "0"}, input=feed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def inside(daemon: Wharfd, command: str) -> str:
    return daemon.docker("run", "--rm", "--network", "none", "facts:1", "sh", "-c", command).stdout


def config(daemon: Wharfd) -> dict[str, object]:
    return json.loads(daemon.docker("inspect", "facts:1").stdout)[0]["Config"]  # type: ignore[no-any-return]


def test_syntax_names_no_front_end_that_is_loaded(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    build(daemon, way, tmp_path, "# syntax=no.such/frontend:1\nFROM busybox\nENV SYNTAX=mine")
    assert inside(daemon, "echo $SYNTAX") == "mine\n"


def test_a_base_without_a_path_gets_the_default(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    made = daemon.docker("create", "busybox", "true").stdout.strip()
    archive = tmp_path / "tree.tar"
    daemon.docker("export", "-o", str(archive), made)
    daemon.docker("rm", made)
    daemon.docker("import", str(archive), f"pathless-{way}:1")
    build(daemon, way, tmp_path, f"FROM pathless-{way}:1\nCMD ['x']")
    assert config(daemon)["Env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]


def test_a_target_by_number(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    build(daemon, way, tmp_path, "FROM busybox\nENV S=0\nFROM busybox\nENV S=1\nFROM busybox", "--target", "1")
    assert inside(daemon, "echo $S") == "1\n"


def test_a_link_in_the_way_of_copy_link_is_replaced(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    (tmp_path / "f").write_text("f")
    build(
        daemon, way, tmp_path,
        "FROM busybox\nRUN mkdir /real && ln -s real /way && chmod 1777 /root\n"
        "COPY --link f /way/f\nCOPY --link f /root/f",
    )  # fmt: skip
    assert inside(daemon, "ls /real; ls /way; test -h /way || echo directory; stat -c %a /root") == (
        "f\ndirectory\n1777\n"
    )


def test_every_compression_is_unpacked(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    for kind in ("gz", "bz2", "xz"):
        with tarfile.open(tmp_path / f"a.{kind}", f"w:{kind}") as archive:  # type: ignore[call-overload]
            archive.addfile(tarfile.TarInfo(kind))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("zst"))
    (tmp_path / "a.zst").write_bytes(zstandard.compress(plain.getvalue()))
    build(daemon, way, tmp_path, "FROM busybox\nADD a.gz a.bz2 a.xz a.zst /out/")
    assert inside(daemon, "ls /out") == "bz2\ngz\nxz\nzst\n"


def test_an_unused_argument_is_told(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    told = build(daemon, way, tmp_path, "FROM busybox", "--build-arg", "NOBODY=1", "--build-arg", "HTTP_PROXY=x")
    assert "[Warning] One or more build-args [NOBODY] were not consumed" in told


def test_the_name_of_the_dockerfile(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    (tmp_path / "Other").write_text("FROM busybox\nENV OTHER=1\n")
    build(daemon, way, tmp_path, "FROM nosuch", "-f", str(tmp_path / "Other"))
    assert inside(daemon, "echo $OTHER") == "1\n"


def test_a_dockerfile_on_standard_input(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    build(daemon, way, tmp_path, "FROM nosuch", "-", feed="FROM busybox\nENV FED=1\n")
    assert inside(daemon, "echo $FED") == "1\n"


def test_a_namespace_of_cache_mounts(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    text = f"FROM busybox\nRUN --mount=type=cache,id=spaced-{way},target=/c "
    other = ("--build-arg", "BUILDKIT_CACHE_MOUNT_NS=other")
    build(daemon, way, tmp_path, text + "echo mine > /c/f")
    build(daemon, way, tmp_path, text + "test ! -e /c/f && echo other > /c/f", *other)
    build(daemon, way, tmp_path, text + "cat /c/f > /mine")
    assert inside(daemon, "cat /mine") == "mine\n"
    build(daemon, way, tmp_path, text + "cat /c/f > /other", *other)
    assert inside(daemon, "cat /other") == "other\n"


def test_arguments_of_a_builds_surroundings_are_not_the_images(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    """Who gives a build a name, a front end or a form of its history gets the same image, and is not warned."""
    text = "FROM busybox\nRUN env > /env\n"
    build(daemon, way, tmp_path, text)
    before = config(daemon)
    given = ("BUILD_NAME=mine", "HISTORY_PROVENANCE_V1=1", "SYNTAX=no.such/frontend:1")
    flags = [word for name in given for word in ("--build-arg", f"BUILDKIT_{name}")]
    told = build(daemon, way, tmp_path, text, *flags)
    assert "consumed" not in told and config(daemon) == before
    assert "BUILDKIT" not in inside(daemon, "cat /env")


def test_the_argument_for_checks_wins_over_the_directive(daemon: Wharfd, tmp_path: Path, way: str) -> None:
    text = "# check=error=true\nFROM busybox\nLABEL old form\n"
    build(daemon, way, tmp_path, text, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all")
    assert config(daemon)["Labels"] == {"old": "form"}
    with pytest.raises(AssertionError, match="LegacyKeyValueFormat"):
        build(daemon, way, tmp_path, text)
    with pytest.raises(AssertionError, match="LegacyKeyValueFormat"):
        build(daemon, way, tmp_path, text.partition("\n")[2], "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true")
