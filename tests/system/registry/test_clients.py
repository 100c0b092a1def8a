"""Other people's clients against our registry: skopeo and podman, plain, with a password, over TLS, and in bulk."""

import gzip
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import docker_archive
from tests.support.registry import DockerRegistry, Http, Registry, config_of, descriptor, image

IMAGES = 50


def skopeo(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run skopeo; raises AssertionError with its words when it fails."""
    out = subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False)
    assert not check or out.returncode == 0, out.stderr
    return out


def manifest_of(place: str, *flags: str) -> str:
    """The manifest's digest."""
    return str(json.loads(skopeo("inspect", *flags, place).stdout)["Digest"])


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A docker archive of busybox."""
    path = tmp_path_factory.mktemp("archive") / "busybox.tar"
    path.write_bytes(docker_archive("busybox:latest"))
    return f"docker-archive:{path}"


def test_skopeo_copies_there_and_back(archive: str, tmp_path: Path) -> None:
    plain = ("--src-tls-verify=false", "--dest-tls-verify=false")
    with Registry() as registry, DockerRegistry() as other:
        ours, theirs = f"docker://{registry.host}/lib/box:1", f"docker://{other.host}/lib/box:1"
        skopeo("copy", *plain, archive, ours)
        skopeo("copy", *plain, ours, theirs)
        skopeo("copy", *plain, theirs, f"docker://{registry.host}/back/box:1")
        digest = manifest_of(ours, "--tls-verify=false")
        assert digest == manifest_of(theirs, "--tls-verify=false")
        assert digest == manifest_of(f"docker://{registry.host}/back/box:1", "--tls-verify=false")
        skopeo("copy", *plain, ours, f"oci:{tmp_path}/layout:one")
        skopeo("delete", "--tls-verify=false", ours)
        assert skopeo("inspect", "--tls-verify=false", ours, check=False).returncode != 0


def push_compressed(http: Http, name: str, number: int) -> dict[str, Any]:
    """An image whose layer is compressed already, so that skopeo copies it as it is; the manifest."""
    layer, kind = gzip.compress(b"layer %d" % number, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip"
    seed = b"%d" % number
    http.push_blob(name, config_of(seed))
    http.push_blob(name, layer)
    document = image(seed, layers=[descriptor(layer, kind)])
    http.push_manifest(name, f"t{number}", document)
    return document


def test_skopeo_syncs_fifty_images_both_ways() -> None:
    with Registry() as registry, DockerRegistry() as other:
        http = Http(registry.port)
        pushed = {f"t{number}": push_compressed(http, "many", number) for number in range(IMAGES)}
        http.close()
        flags = ("--src", "docker", "--dest", "docker", "--src-tls-verify=false", "--dest-tls-verify=false")
        skopeo("sync", *flags, f"{registry.host}/many", f"{other.host}/from-ours")
        skopeo("sync", *flags, f"{other.host}/from-ours/many", f"{registry.host}/from-theirs")
        for port, name in ((other.port, "from-ours/many"), (registry.port, "from-theirs/many")):
            http = Http(port)
            assert sorted(http("GET", f"/v2/{name}/tags/list").json["tags"]) == sorted(pushed)
            for tag, document in pushed.items():
                found = http("GET", f"/v2/{name}/manifests/{tag}", Accept=document["mediaType"])
                assert found.json == document
            http.close()


@pytest.mark.parametrize("auth", ["token", "basic"])
def test_skopeo_with_a_password(auth: str, archive: str) -> None:
    registry = Registry("--auth", auth)
    registry.run("user", "add", "alice", feed="alice-secret\n")
    with registry:
        place = f"docker://{registry.host}/alice/box:1"
        skopeo("copy", "--dest-tls-verify=false", "--dest-creds=alice:alice-secret", archive, place)
        read = ("inspect", "--tls-verify=false")
        assert skopeo(*read, "--creds=alice:alice-secret", place).returncode == 0
        for wrong in (("--creds=alice:wrong",), ("--no-creds",)):
            assert skopeo(*read, *wrong, place, check=False).returncode != 0
        registry.run("repo", "alice/box", "public")
        assert skopeo(*read, "--no-creds", place).returncode == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a certificate for 127.0.0.1 and its key."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(place / "key.pem"), "-out", str(place / "ca.crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    return place


@pytest.fixture
def secure(certificate: Path) -> Iterator[Registry]:
    with Registry("--tls-cert", str(certificate / "ca.crt"), "--tls-key", str(certificate / "key.pem")) as registry:
        yield registry


def test_tls(secure: Registry, certificate: Path, archive: str, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes((certificate / "ca.crt").read_bytes())
    place = f"docker://{secure.host}/lib/box:1"
    skopeo("copy", f"--dest-cert-dir={tmp_path}", archive, place)
    skopeo("inspect", f"--cert-dir={tmp_path}", place)
    assert skopeo("inspect", place, check=False).returncode != 0
    http = Http(secure.port, ssl.create_default_context(cafile=str(tmp_path / "ca.crt")))
    data = os.urandom(3_000_000)
    digest = http.push_blob("big", data)
    assert http("GET", f"/v2/big/blobs/{digest}").body == data
    assert http("GET", f"/v2/big/blobs/{digest}", Range="bytes=1000000-1999999").body == data[1_000_000:2_000_000]
    assert http("POST", "/v2/big/blobs/uploads/").headers["Location"].startswith("/v2/")
    http.close()
