"""Where a build's result goes: `wharf build -o …`, several places at once, several platforms."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.building import WHARF, build, inside, names_in, wharf, write
from tests.support.registry import Registry
from tests.support.wharfd import Wharfd

TEXT = "FROM scratch\nCOPY a /etc/a\nCOPY --chown=5:6 --chmod=640 a /b\n"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Wharfd(own_network=False) as running:
        running.load_busybox()
        yield running


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "context", {"Dockerfile": TEXT, "a": "text of a"})


def _images(daemon: Wharfd) -> list[str]:
    return daemon.docker("images", "-aq").stdout.split()


def _layout(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The index of an OCI archive, and its blobs by digest, each checked."""
    blobs: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith("blobs/"):
                file = archive.extractfile(member)
                assert file is not None
                data = file.read()
                assert hashlib.sha256(data).hexdigest() == member.name.rpartition("/")[2]
                blobs[f"sha256:{member.name.rpartition('/')[2]}"] = data
        file = archive.extractfile("index.json")
        assert file is not None
        return json.loads(file.read()), blobs


def test_without_a_flag_the_image_is_the_engines(daemon: Wharfd, context: Path) -> None:
    build(daemon, context, "-t", "plain:1")
    assert daemon.docker("image", "inspect", "plain:1").returncode == 0


def test_a_directory_gets_the_files(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    before = _images(daemon)
    build(daemon, context, "-o", str(tmp_path / "out"))
    assert (tmp_path / "out/etc/a").read_text() == "text of a"
    found = (tmp_path / "out/b").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (5, 6, 0o640)
    assert _images(daemon) == before


def test_a_tar_in_a_file_and_on_standard_output(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    build(daemon, context, "-o", f"type=tar,dest={tmp_path}/out.tar")
    assert {"etc/a", "b"} <= {name.removeprefix("./") for name in names_in(tmp_path / "out.tar")}
    done = subprocess.run(
        [WHARF, "build", "-o", "-", str(context)], env=daemon.environment, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert {name.removeprefix("./") for name in archive.getnames()} >= {"etc/a", "b"}


def test_an_oci_layout(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    build(daemon, context, "-t", "laid/out:2", "-o", f"type=oci,dest={tmp_path}/o.tar")
    index, blobs = _layout(tmp_path / "o.tar")
    (entry,) = index["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/laid/out:2"
    manifest = json.loads(blobs[entry["digest"]])
    assert [layer["mediaType"][-9:] for layer in manifest["layers"]] == [".tar+gzip"] * 2
    for layer in manifest["layers"]:
        assert len(blobs[layer["digest"]]) == layer["size"]
    build(daemon, context, "-o", f"type=oci,dest={tmp_path}/again.tar", "-t", "laid/out:2", "--no-cache")
    assert (tmp_path / "o.tar").read_bytes() == (tmp_path / "again.tar").read_bytes()


def test_an_archive_for_docker(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    write(context, {"Dockerfile": "FROM busybox\nRUN echo in > /mark"})
    build(daemon, context, "-t", "fordocker:1", "-o", f"type=docker,dest={tmp_path}/d.tar")
    assert daemon.docker("image", "inspect", "fordocker:1", check=False).returncode
    daemon.docker("load", "-i", str(tmp_path / "d.tar"))
    assert inside(daemon, "fordocker:1", "cat /mark") == "in\n"


def test_several_at_once(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    build(
        daemon, context, "-t", "both:1", "-o", "type=image,name=third:1", "-o", f"type=oci,dest={tmp_path}/o.tar",
        "-o", f"type=local,dest={tmp_path}/files", "-o", f"type=tar,dest={tmp_path}/t.tar",
    )  # fmt: skip
    ids = {daemon.docker("inspect", "-f", "{{.Id}}", name).stdout for name in ("both:1", "third:1")}
    assert len(ids) == 1
    assert (tmp_path / "files/etc/a").exists() and names_in(tmp_path / "t.tar")
    index, blobs = _layout(tmp_path / "o.tar")
    config = json.loads(blobs[index["manifests"][0]["digest"]])["config"]["digest"]
    assert {config + "\n"} == ids


def test_a_push(daemon: Wharfd, context: Path) -> None:
    with Registry("--gc-interval", "0") as registry:
        build(daemon, context, "-t", f"{registry.host}/pushed:1", "--push")
        with urllib.request.urlopen(f"http://{registry.host}/v2/pushed/manifests/1") as answer:
            assert len(json.loads(answer.read())["layers"]) == 2
    done = wharf(daemon, "build", "--push", str(context), check=False)
    assert done.returncode and "tag is needed when pushing" in done.stderr


class TestPlatforms:
    def test_an_index_of_one_where_it_is_asked_for(self, daemon: Wharfd, context: Path, tmp_path: Path) -> None:
        words = ("--build-arg", "BUILDKIT_MULTI_PLATFORM=1", "-o", f"type=oci,dest={tmp_path}/o.tar")
        build(daemon, context, *words, "-o", str(tmp_path / "out"))
        index, blobs = _layout(tmp_path / "o.tar")
        (entry,) = index["manifests"]
        (inner,) = json.loads(blobs[entry["digest"]])["manifests"]
        architecture = json.loads(blobs[json.loads(blobs[inner["digest"]])["config"]["digest"]])["architecture"]
        assert inner["platform"] == {"architecture": architecture, "os": "linux"}
        assert (tmp_path / f"out/linux_{architecture}/etc/a").exists()
        refused = build(daemon, context, *words[:2], "-o", f"type=docker,dest={tmp_path}/d.tar", check=False)
        assert "does not currently support exporting manifest lists" in refused

    def test_an_index_of_what_only_copies(self, daemon: Wharfd, context: Path, tmp_path: Path) -> None:
        write(
            context,
            {"Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS make\nARG TARGETARCH\nRUN echo $TARGETARCH > /a\n"
                           "FROM scratch\nCOPY --from=make /a /a\n"},
        )  # fmt: skip
        with Registry("--gc-interval", "0") as registry:
            name = f"{registry.host}/multi:1"
            build(
                daemon, context, "--platform", "linux/amd64,linux/arm64", "-t", name, "--push",
                "-o", f"type=oci,dest={tmp_path}/o.tar", "-o", str(tmp_path / "out"),
            )  # fmt: skip
            request = urllib.request.Request(f"http://{registry.host}/v2/multi/manifests/1")
            with urllib.request.urlopen(request) as answer:
                pushed = json.loads(answer.read())
        assert [item["platform"]["architecture"] for item in pushed["manifests"]] == ["amd64", "arm64"]
        assert (tmp_path / "out/linux_arm64/a").read_text() == "arm64\n"
        assert (tmp_path / "out/linux_amd64/a").read_text() == "amd64\n"
        index, blobs = _layout(tmp_path / "o.tar")
        inner = json.loads(blobs[index["manifests"][0]["digest"]])
        found = [
            json.loads(blobs[json.loads(blobs[item["digest"]])["config"]["digest"]]) for item in inner["manifests"]
        ]
        assert [config["architecture"] for config in found] == ["amd64", "arm64"]

    def test_a_step_that_would_need_emulation(self, daemon: Wharfd, context: Path) -> None:
        write(context, {"Dockerfile": "FROM scratch\nCOPY a /a\nRUN true"})
        done = wharf(daemon, "build", "--platform", "linux/s390x", str(context), check=False)
        assert done.returncode and "RUN for linux/s390x needs emulation" in done.stderr
        assert "Dockerfile:3" in done.stderr and ">>> RUN true" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-o", "type=nosuch"), "unknown output type 'nosuch'"),
        (("-o", "dest=x"), "type is required"),
        (("-o", "type=oci,dest=/no/such/place"), "cannot write /no/such/place"),
        (("-o", "type=image,compression=best"), "compression 'best' is not there"),
        (("--progress", "loud"), "invalid progress mode loud"),
    ],
)
def test_what_is_refused(daemon: Wharfd, context: Path, flags: tuple[str, ...], words: str) -> None:
    done = wharf(daemon, "build", *flags, str(context), check=False)
    assert done.returncode and words in done.stderr


def test_a_failed_build_leaves_no_half_made_file(daemon: Wharfd, context: Path, tmp_path: Path) -> None:
    write(context, {"Dockerfile": "FROM busybox\nRUN exit 3"})
    done = wharf(daemon, "build", "-o", f"type=oci,dest={tmp_path}/o.tar", str(context), check=False)
    assert done.returncode == 3 and not list(tmp_path.glob("o.tar*"))


def test_raw_progress(daemon: Wharfd, context: Path) -> None:
    write(context, {"Dockerfile": "FROM busybox\nRUN echo seen; echo again >&2"})
    done = wharf(daemon, "build", "--no-cache", "--progress", "rawjson", str(context))
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    names = {vertex["name"] for line in lines for vertex in line.get("vertexes", ())}
    assert "[2/2] RUN echo seen; echo again >&2" in names
    ended = [vertex for line in lines for vertex in line.get("vertexes", ()) if vertex.get("completed")]
    assert len(ended) == 2 and all(vertex["started"] for vertex in ended)
    logs = {(log["stream"], log["data"]) for line in lines for log in line.get("logs", ())}
    assert logs == {(1, "c2Vlbgo="), (2, "YWdhaW4K")}
