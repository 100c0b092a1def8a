"""`wharf build --build-context`: what a name stands for, in the built image."""

import json
import os
import tarfile
from pathlib import Path

import pytest

from tests.support.building import build, inside, names_in, wharf, write
from tests.support.busybox import layer_tar
from tests.support.fake_registry import FakeRegistry, digest_of, tar_of
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
        ("side=oci-layout:///tmp", "invalid store at /tmp: it is no OCI image layout"),
        ("side=docker-image://Not/Valid", "invalid reference format"),
        ("side=docker-image://nosuch.invalid/x", "nosuch.invalid"),
    ],
)
def test_what_is_refused(daemon: Wharfd, tmp_path: Path, given: str, words: str) -> None:
    assert words in _made(daemon, tmp_path, "FROM side\n", "-t", "refused", "--build-context", given, check=False)
    assert wharf(daemon, "image", "inspect", "refused", check=False).returncode == 1


@pytest.fixture
def layout(daemon: Wharfd, tmp_path: Path) -> Path:
    """The image `laid` as an OCI layout on disk, and no longer at the engine."""
    root = write(tmp_path / "made", {"Dockerfile": "FROM busybox\nENV LAID=out\nRUN echo laid > /laid\n"})
    build(daemon, root, "-t", "laid:7")
    place = tmp_path / "layout"
    daemon.docker("save", "-o", str(tmp_path / "laid.tar"), "laid:7")
    with tarfile.open(tmp_path / "laid.tar") as archive:
        archive.extractall(place)
    daemon.docker("rmi", "laid:7")
    daemon.docker("builder", "prune", "-af")
    return place


def test_an_oci_layout(daemon: Wharfd, layout: Path, tmp_path: Path) -> None:
    text = "FROM base AS a\nRUN cp /laid /copied\nFROM busybox\nCOPY --from=a /copied /\nCOPY --from=base /laid /\n"
    root = write(tmp_path / "context", {"Dockerfile": text})
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    for where in (f"{layout}", f"{layout}@{digest}"):
        build(daemon, root, "-t", "on-layout", "--build-context", f"base=oci-layout://{where}")
        assert inside(daemon, "on-layout", "cat /copied /laid") == "laid\nlaid\n"
    again = build(daemon, root, "-t", "on-layout", "--build-context", f"base=oci-layout://{layout}")
    assert again.count("Using cache") == 3
    root = write(tmp_path / "context", {"Dockerfile": "FROM base\n"})
    build(daemon, root, "-t", "as-it-is", "--build-context", f"base=oci-layout://{layout}")
    assert inside(daemon, "as-it-is", "echo $LAID; cat /laid") == "out\nlaid\n"
    assert "laid" not in daemon.docker("images", "--format", "{{.Repository}}").stdout


def test_an_oci_layout_by_its_tag(daemon: Wharfd, layout: Path, tmp_path: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "7"}
    (layout / "index.json").write_text(json.dumps(index))
    root = write(tmp_path / "context", {"Dockerfile": "FROM base\nRUN test -e /laid\n"})
    build(daemon, root, "--build-context", f"base=oci-layout://{layout}:7")
    out = build(daemon, root, "--build-context", f"base=oci-layout://{layout}:8", check=False)
    assert "could not be resolved: no tag 8" in out
    out = build(daemon, root, "--build-context", f"base=oci-layout://{tmp_path}", check=False)
    assert "it is no OCI image layout" in out


def test_a_layout_whose_blobs_are_not_what_they_say(daemon: Wharfd, tmp_path: Path) -> None:
    """Of an image that the engine never had."""
    with FakeRegistry() as registry:
        manifest = registry.image("laid", [layer_tar(), tar_of({"laid": os.urandom(16).hex().encode()})])
        blobs = {**registry.blobs, digest_of(manifest): manifest}
    place = tmp_path / "layout"
    write(place, {"oci-layout": "{}", "index.json": json.dumps({"manifests": [{"digest": digest_of(manifest)}]})})
    (place / "blobs/sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (place / "blobs/sha256" / digest.partition(":")[2]).write_bytes(data)
    root = write(tmp_path / "context", {"Dockerfile": "FROM base\nRUN cat /laid\n"})
    flags = ("--build-context", f"base=oci-layout://{place}")
    for digest in (json.loads(manifest)["layers"][-1]["digest"], digest_of(manifest)):
        path = place / "blobs/sha256" / digest.partition(":")[2]
        path.write_bytes(blobs[digest][:-2] + b"}\n")
        out = build(daemon, root, *flags, check=False)
        assert ("damaged" if digest == digest_of(manifest) else "wrong digest") in out, out
        path.write_bytes(blobs[digest])
    build(daemon, root, *flags)
    assert not list(Path(daemon.root, "data/content/ingest").glob("[!.]*"))
