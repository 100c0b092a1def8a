"""An image of several platforms here: listed, looked at, saved, loaded and pushed, by docker and by wharf."""

import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from tests.support.fake_registry import digest_of, tar_of
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd, docker_client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
NAME = "several:1"


class Layout:
    """An OCI image layout in the making."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def blob(self, data: bytes, media: str, **more: Any) -> dict[str, Any]:
        """Keep it; its descriptor."""
        self.blobs[digest_of(data)] = data
        return {"mediaType": media, "digest": digest_of(data), "size": len(data), **more}

    def document(self, value: dict[str, Any], **more: Any) -> dict[str, Any]:
        data = json.dumps({"schemaVersion": 2, **value}, indent=1).encode()
        return self.blob(data, value["mediaType"], **more)

    def image(self, architecture: str) -> dict[str, Any]:
        """An image of one file that holds the platform's name."""
        plain = tar_of({"platform": architecture.encode()})
        layer = self.blob(gzip.compress(plain, mtime=0), LAYER)
        config = {"architecture": architecture, "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [digest_of(plain)]}}  # fmt: skip
        described = self.blob(json.dumps(config).encode(), CONFIG)
        platform = {"os": "linux", "architecture": architecture}
        return self.document({"mediaType": MANIFEST, "config": described, "layers": [layer]}, platform=platform)

    def attestation(self, of: dict[str, Any]) -> dict[str, Any]:
        """A statement about an image, as BuildKit attaches it."""
        statement = self.blob(b'{"_type":"https://in-toto.io/Statement/v0.1"}', "application/vnd.in-toto+json")
        config = self.blob(b'{"architecture":"unknown","os":"unknown","config":{},"rootfs":{}}', CONFIG)
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"]}
        return self.document(
            {"mediaType": MANIFEST, "config": config, "layers": [statement]},
            platform={"os": "unknown", "architecture": "unknown"},
            annotations=notes,
        )

    def archive(self, top: dict[str, Any]) -> bytes:
        named = {**top, "annotations": {"io.containerd.image.name": f"docker.io/library/{NAME}"}}
        files = {f"blobs/sha256/{digest[7:]}": data for digest, data in self.blobs.items()}
        files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
        files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [named]}).encode()
        return tar_of(files)


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout()


@pytest.fixture(scope="module")
def entries(layout: Layout) -> list[dict[str, Any]]:
    """amd64, arm64, and an attestation of the first."""
    images = [layout.image("amd64"), layout.image("arm64")]
    return [*images, layout.attestation(images[0])]


@pytest.fixture(scope="module")
def archive(layout: Layout, entries: list[dict[str, Any]]) -> bytes:
    return layout.archive(layout.document({"mediaType": INDEX, "manifests": entries}))


@pytest.fixture(scope="module")
def daemon(archive: bytes) -> Iterator[Wharfd]:
    with Wharfd() as running:
        assert run(running, "docker", "load", feed=gzip.compress(archive)).stdout == f"Loaded image: {NAME}\n".encode()
        yield running


def run(
    daemon: Wharfd, tool: str, *arguments: str, feed: bytes = b"", check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """docker or wharf, in bytes."""
    program = docker_client() if tool == "docker" else str(ROOT / ".venv/bin/wharf")
    out = subprocess.run(
        [program, *arguments], env=daemon.environment, input=feed, capture_output=True, timeout=60, check=False
    )
    assert not check or out.returncode == 0, out.stderr
    return out


@pytest.fixture(params=["docker", "wharf"])
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def files_of(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


def test_the_tree_shows_its_platforms(daemon: Wharfd, tool: str, entries: list[dict[str, Any]]) -> None:
    text = run(daemon, tool, "image", "ls", "--tree").stdout.decode()
    rows = [line for line in text.splitlines() if "linux/" in line]
    assert [row.split()[1] for row in rows] == ["linux/amd64", "linux/arm64"]
    assert [row.split()[2] for row in rows] == [item["digest"][7:19] for item in entries[:2]]
    assert any(line.startswith(NAME) for line in text.splitlines())


def test_manifests_are_told_on_request_only(daemon: Wharfd, entries: list[dict[str, Any]]) -> None:
    def ask(path: str) -> Any:
        out = subprocess.run(
            ["curl", "-s", "--unix-socket", f"{daemon.root}/s", f"http://x{path}"], capture_output=True, check=True
        )
        return json.loads(out.stdout)

    (listed,) = ask("/v1.51/images/json?manifests=1")
    assert listed["Manifests"] == ask(f"/v1.51/images/{NAME}/json?manifests=1")["Manifests"]
    first, second, third = listed["Manifests"]
    assert [item["ID"] for item in listed["Manifests"]] == [item["digest"] for item in entries]
    assert [item["Kind"] for item in listed["Manifests"]] == ["image", "image", "attestation"]
    assert all(item["Available"] for item in listed["Manifests"])
    assert third["AttestationData"] == {"For": first["ID"]} and "ImageData" not in third
    assert second["ImageData"]["Platform"] == {"os": "linux", "architecture": "arm64"}
    assert first["Size"]["Total"] > first["Size"]["Content"] > 0
    for path in ("/v1.51/images/json", "/v1.46/images/json?manifests=1"):
        assert "Manifests" not in ask(path)[0]
    both = f"/v1.51/images/{NAME}/json?manifests=1&platform=%7B%22os%22:%22linux%22,%22architecture%22:%22arm64%22%7D"
    assert ask(both) == {"message": "conflicting options: manifests and platform options cannot both be set"}


def test_each_platform_can_be_inspected(daemon: Wharfd, tool: str) -> None:
    for name in ("amd64", "arm64"):
        out = run(daemon, tool, "image", "inspect", "--platform", f"linux/{name}", "-f", "{{.Architecture}}", NAME)
        assert out.stdout.decode().strip() == name
    out = run(daemon, tool, "image", "inspect", "--platform", "linux/s390x", NAME, check=False)
    assert out.returncode == 1
    words = f"image with reference {NAME} was found but its platform (linux/amd64) does not match the specified"
    assert words in out.stderr.decode()


def test_one_platform_is_saved(daemon: Wharfd, tool: str) -> None:
    saved = files_of(run(daemon, tool, "save", "--platform", "linux/arm64", NAME).stdout)
    (listed,) = json.loads(saved["manifest.json"])
    assert json.loads(saved[listed["Config"]])["architecture"] == "arm64" and listed["RepoTags"] == [NAME]
    assert files_of(saved[listed["Layers"][0]]) == {"platform": b"arm64"}
    out = run(daemon, tool, "save", "--platform", "linux/s390x", NAME, check=False)
    assert out.returncode == 1 and b"no suitable export target found for platform linux/s390x" in out.stderr


def test_all_of_it_goes_through_an_archive(daemon: Wharfd, layout: Layout, tool: str) -> None:
    """Byte for byte: every blob of the layout is in the archive, and on the daemon that loads it."""
    saved = run(daemon, tool, "save", NAME).stdout
    files = files_of(saved)
    assert all(files[f"blobs/sha256/{digest[7:]}"] == data for digest, data in layout.blobs.items())
    with Wharfd() as other:
        run(other, tool, "load", feed=zstandard.compress(saved))
        assert set(os.listdir(f"{other.root}/data/content/blobs/sha256")) == {name[7:] for name in layout.blobs}
        other.docker("rmi", NAME)
        run(other, tool, "load", "--platform", "linux/arm64", feed=saved)
        assert other.docker("image", "inspect", "-f", "{{.Architecture}}", NAME).stdout == "arm64\n"
        other.docker("rmi", NAME)
        assert b"Loaded" not in run(other, tool, "load", "--platform", "linux/s390x", feed=saved).stdout
        assert other.docker("images", "-q").stdout == ""


def test_one_platform_or_all_are_pushed(daemon: Wharfd, entries: list[dict[str, Any]], layout: Layout) -> None:
    with Registry(enter=daemon.enter) as registry:
        for tool in ("docker", "wharf"):
            target = f"{registry.host}/{tool}/several"
            daemon.docker("tag", NAME, f"{target}:1")
            run(daemon, tool, "push", "--platform", "linux/arm64", f"{target}:1")
            assert tagged(daemon, registry, f"{tool}/several") == entries[1]["digest"]
            run(daemon, tool, "push", f"{target}:1")
            assert tagged(daemon, registry, f"{tool}/several") == list(layout.blobs)[-1]
            out = run(daemon, tool, "push", "--platform", "linux/s390x", f"{target}:1", check=False)
            assert out.returncode == 1 and b"does not match the specified platform (linux/s390x)" in out.stderr


def tagged(daemon: Wharfd, registry: Registry, name: str) -> str:
    """The digest of what tag `1` is at the registry."""
    url = f"http://{registry.host}/v2/{name}/manifests/1"
    out = subprocess.run([*daemon.enter, "curl", "-s", "--fail", url], capture_output=True, check=True)
    return digest_of(out.stdout)


def test_one_platform_is_removed(archive: bytes, entries: list[dict[str, Any]]) -> None:
    with Wharfd() as daemon:
        for tool in ("docker", "wharf"):
            run(daemon, tool, "load", feed=archive)
            out = run(daemon, tool, "image", "rm", "--platform", "linux/arm64", NAME, check=False)
            assert out.returncode == 1 and b"Content will be removed from all images referencing this" in out.stderr
            out = run(daemon, tool, "image", "rm", "-f", "--platform", "linux/arm64", NAME)
            assert out.stdout.decode() == f"Deleted: {entries[1]['digest']}\n"
            out = run(daemon, tool, "image", "rm", "-f", "--platform", "linux/amd64", NAME, check=False)
            assert out.returncode == 1 and b"remove the image itself" in out.stderr
            out = run(daemon, tool, "image", "inspect", "--platform", "linux/arm64", NAME, check=False)
            assert out.returncode == 1 and b"does not match the specified platform" in out.stderr
            assert daemon.docker("image", "inspect", "-f", "{{.Architecture}}", NAME).stdout == "amd64\n"
            assert len(os.listdir(f"{daemon.root}/data/content/blobs/sha256")) == 7  # of ten
        daemon.docker("rmi", NAME)
        assert os.listdir(f"{daemon.root}/data/content/blobs/sha256") == []
