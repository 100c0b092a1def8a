"""Load: every layout and compression that Docker's archives come in, and every way they can be wrong."""

import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.support.busybox import docker_archive
from tests.support.images import SlowSource
from wharf.engine.image_transfer import load_images
from wharf.errors import Invalid

Messages = list[dict[str, Any]]


def small_layer(name: str = "hello", text: bytes = b"hello\n") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def archive(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, link in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def config(*layers: bytes, **fields: Any) -> bytes:
    diff_ids = [f"sha256:{digest(layer)}" for layer in layers]
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}, **fields}
    ).encode()


def oci_layout(layer: bytes, plain: bytes, media: str, name: str | None = "app:1") -> bytes:
    document = config(plain)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": f"sha256:{digest(document)}",
                "size": len(document),
            },
            "layers": [{"mediaType": media, "digest": f"sha256:{digest(layer)}", "size": len(layer)}],
        }
    ).encode()
    entry = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{digest(manifest)}",
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": f"docker.io/library/{name}"} if name else {},
    }
    blobs = {f"blobs/sha256/{digest(data)}": data for data in (document, layer, manifest)}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    return archive({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs})


def load(engine: Any, data: bytes) -> Messages:
    messages: Messages = []
    load_images(engine, SlowSource(data), messages.append, quiet=True)
    return messages


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["plain", "gzip", "xz", "zstd"],
)
def test_a_docker_archive_in_any_compression(engine: Any, compress: Callable[[bytes], bytes]) -> None:
    data = docker_archive("busybox:latest", [small_layer()])
    assert load(engine, compress(data)) == [{"stream": "Loaded image: busybox:latest\n"}]
    image = engine.images.resolve("busybox")
    assert image.size == 6
    assert engine.events.actions() == ["image load"]
    upper = engine.snapshots.layers(image.chain_id).upper
    assert Path(upper, "hello").read_text() == "hello\n"
    assert not engine.leftovers()


def test_an_archive_without_names_tells_the_id(engine: Any) -> None:
    messages = load(engine, docker_archive(None, [small_layer()]))
    assert messages == [{"stream": f"Loaded image ID: {engine.images.all()[0].id}\n"}]


def test_a_name_that_was_taken_moves_and_says_so(engine: Any) -> None:
    load(engine, docker_archive("a:1", [small_layer()]))
    first = engine.images.resolve("a:1").id
    messages = load(engine, docker_archive("a:1", [small_layer(text=b"other")]))
    assert messages[0]["stream"] == (
        f"The image a:1 already exists, renaming the old one with ID {first} to empty string\n"
    )
    assert engine.images.get(first).names == ()


def test_loading_twice_changes_nothing(engine: Any) -> None:
    data = docker_archive("a:1", [small_layer(), small_layer("b")])
    load(engine, data)
    before = (engine.blobs(), engine.images.resolve("a:1").manifest)
    load(engine, data)
    assert (engine.blobs(), engine.images.resolve("a:1").manifest) == before


def test_an_old_layout_with_links_between_layers(engine: Any) -> None:
    layer = small_layer()
    document = config(layer, layer)
    listing = [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["one/layer.tar", "two/layer.tar"]}]
    files = {"one/layer.tar": layer, "one/json": b"{}", "one/VERSION": b"1.0", "c.json": document}
    files["manifest.json"] = json.dumps(listing).encode()
    load(engine, archive(files, {"two/layer.tar": "../one/layer.tar"}))
    assert len(engine.images.resolve("old:1").layers) == 2


@pytest.mark.parametrize("name", ["app:1", None])
def test_an_oci_layout_keeps_its_manifest_and_compressed_layer(engine: Any, name: str | None) -> None:
    plain = small_layer()
    packed = gzip.compress(plain, mtime=0)
    load(engine, oci_layout(packed, plain, "application/vnd.oci.image.layer.v1.tar+gzip", name))
    image = engine.images.all()[0]
    assert [str(layer.digest) for layer in image.layers] == [f"sha256:{digest(packed)}"]
    assert image.manifest.digest.hex in {blob.split(":")[1] for blob in engine.blobs()}
    assert bool(image.names) == bool(name)
    index = json.loads(Path(engine.content.root, "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [str(image.manifest.digest)]


def _listing(**fields: Any) -> bytes:
    return json.dumps([{"Config": "c.json", "RepoTags": ["x:1"], "Layers": ["l.tar"], **fields}]).encode()


LAYER = small_layer()
GOOD = {"c.json": config(LAYER), "l.tar": LAYER, "manifest.json": _listing()}
BAD = {
    "empty": (b"", "manifest.json: no such file"),
    "no manifest": (archive({"c.json": b"{}"}), "manifest.json: no such file"),
    "not a tar": (b"x" * 2048, "invalid tar header"),
    "damaged gzip": (gzip.compress(archive(GOOD))[:-20], ""),
    "json is broken": (archive({**GOOD, "manifest.json": b"[{"}), "invalid manifest.json"),
    "json is no list": (archive({**GOOD, "manifest.json": b"{}"}), "invalid manifest.json"),
    "json is too deep": (archive({**GOOD, "manifest.json": b"[" * 200_000}), "invalid manifest.json"),
    "config missing": (archive({**GOOD, "manifest.json": _listing(Config="no.json")}), "no.json"),
    "config is no string": (archive({**GOOD, "manifest.json": _listing(Config=7)}), "has no Config"),
    "layer missing": (archive({**GOOD, "manifest.json": _listing(Layers=["gone.tar"])}), "gone.tar"),
    "too few layers": (archive({**GOOD, "manifest.json": _listing(Layers=[])}), "expected 1, got 0"),
    "wrong layer": (archive({**GOOD, "l.tar": small_layer("x")}), "diffID"),
    "name leads out": (archive({**GOOD, "../../etc/passwd": b"x"}), "leads out"),
    "absolute name": (archive({**GOOD, "/etc/passwd": b"x"}), "leads out"),
    "link leads out": (archive(GOOD, {"a/l.tar": "../../x"}), "leads out"),
    "config leads out": (archive({**GOOD, "manifest.json": _listing(Config="../c.json")}), "leads out"),
    "bad tag": (archive({**GOOD, "manifest.json": _listing(RepoTags=["UPPER:1"])}), "must be lowercase"),
    "tags are no strings": (archive({**GOOD, "manifest.json": _listing(RepoTags=[1])}), "lists of strings"),
    "another system": (archive({**GOOD, "c.json": config(LAYER, os="windows")}), "cannot load windows image on linux"),
    "config of wrong types": (archive({**GOOD, "c.json": b'{"config": []}'}), "invalid image config"),
    "blob under another name": (archive({f"blobs/sha256/{'0' * 64}": b"x"}), "wrong digest"),
    "blob with no digest": (archive({"blobs/sha256/xyz": b"x"}), "invalid digest"),
    "layer is no tar": (
        archive({**GOOD, "l.tar": b"x" * 1024, "c.json": config(b"x" * 1024)}), f"sha256:{digest(b'x' * 1024)}"),
    "layer leads out": (
        archive({**GOOD, "l.tar": small_layer("../x"), "c.json": config(small_layer("../x"))}), "../x"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_archive_is_refused_and_leaves_nothing(engine: Any, case: str) -> None:
    data, words = BAD[case]
    with pytest.raises(Invalid) as caught:
        load(engine, data)
    assert words in caught.value.message
    assert engine.images.all() == []
    assert engine.blobs() == set()
    assert engine.snapshots.chain_ids() == []
    assert engine.leftovers() == []


@pytest.mark.parametrize("cut", [1, 511, 513, 1000, 1537, 2000])
def test_a_truncated_archive_is_refused_and_leaves_nothing(engine: Any, cut: int) -> None:
    data = archive(GOOD).rstrip(b"\0")
    with pytest.raises(Invalid):
        load(engine, data[: min(cut, len(data) - 1)])
    assert (engine.images.all(), engine.blobs(), engine.leftovers()) == ([], set(), [])


def test_a_damaged_second_image_leaves_the_first_and_nothing_of_itself(engine: Any) -> None:
    listing = [*json.loads(_listing()), {"Config": "c2.json", "RepoTags": ["y:1"], "Layers": ["l2.tar"]}]
    other = small_layer("other")
    files = {**GOOD, "c2.json": config(LAYER), "l2.tar": other, "manifest.json": json.dumps(listing).encode()}
    with pytest.raises(Invalid):
        load(engine, archive(files))
    image = engine.images.resolve("x:1")
    assert engine.blobs() == {str(blob.digest) for blob in image.blobs}
    assert engine.leftovers() == []
