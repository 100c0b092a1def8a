"""Save: Docker's archive, the same bytes every time, and back again without a change."""

import gzip
import io
import json
import tarfile
from typing import Any

import pytest

from tests.contracts.images.test_load import load, oci_layout, small_layer
from tests.support.busybox import docker_archive
from tests.support.images import Sink, image_engine
from wharf.engine.image_transfer import save_images
from wharf.errors import Internal, NotFound


def save(engine: Any, *names: str) -> bytes:
    out = Sink()
    save_images(engine, list(names))(out)
    return out.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {item.mtime for item in tar} == {0}
        return {item.name: (tar.extractfile(item) or io.BytesIO()).read() for item in tar if item.isfile()}


def test_what_a_saved_archive_holds(engine: Any) -> None:
    load(engine, docker_archive("a:1", [small_layer(), small_layer("b")]))
    image = engine.images.resolve("a:1")
    files = members(save(engine, "a:1"))
    top = image.layers[-1].digest.hex
    assert json.loads(files["manifest.json"]) == [
        {
            "Config": f"blobs/sha256/{image.id.hex}",
            "RepoTags": ["a:1"],
            "Layers": [f"blobs/sha256/{layer.digest.hex}" for layer in image.layers],
            "LayerSources": {
                str(layer.digest): {"mediaType": layer.media_type, "size": layer.size, "digest": str(layer.digest)}
                for layer in image.layers
            },
        }
    ]
    assert json.loads(files["repositories"]) == {"a": {"1": top}}
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    entry = json.loads(files["index.json"])["manifests"][0]
    assert entry["digest"] == str(image.manifest.digest)
    assert entry["annotations"] == {
        "io.containerd.image.name": "docker.io/library/a:1",
        "org.opencontainers.image.ref.name": "1",
    }
    assert {name.rpartition("/")[2] for name in files if name.startswith("blobs/")} == {
        blob.digest.hex for blob in image.blobs
    }


def test_a_round_trip_keeps_id_and_manifest_and_gives_the_same_bytes(engine: Any, tmp_path: Any) -> None:
    load(engine, docker_archive("a:1", [small_layer()]))
    data = save(engine, "a:1")
    assert save(engine, "a:1") == data
    with image_engine(tmp_path / "other") as other:
        load(other, data)
        assert other.images.resolve("a:1").id == engine.images.resolve("a:1").id
        assert other.images.resolve("a:1").manifest == engine.images.resolve("a:1").manifest
        assert save(other, "a:1") == data


def test_a_compressed_layer_is_saved_uncompressed(engine: Any, tmp_path: Any) -> None:
    plain = small_layer()
    load(engine, oci_layout(gzip.compress(plain), plain, "application/vnd.oci.image.layer.v1.tar+gzip"))
    data = save(engine, "app:1")
    assert plain in members(data).values()
    with image_engine(tmp_path / "other") as other:
        load(other, data)
        assert other.images.resolve("app:1").id == engine.images.resolve("app:1").id


def test_several_images_and_the_tags_of_a_repository(engine: Any) -> None:
    load(engine, docker_archive("app:1", [small_layer()]))
    load(engine, docker_archive("app:2", [small_layer("two")]))
    load(engine, docker_archive("other:1", [small_layer()], {"Cmd": ["x"]}))
    listing = json.loads(members(save(engine, "app", "other:1"))["manifest.json"])
    assert sorted(tag for item in listing for tag in item["RepoTags"]) == ["app:1", "app:2", "other:1"]


def test_by_id_no_name_is_saved(engine: Any) -> None:
    load(engine, docker_archive("app:1", [small_layer()]))
    for name in (str(engine.images.resolve("app:1").id), engine.images.resolve("app:1").id.hex[:12]):
        files = members(save(engine, name))
        assert json.loads(files["manifest.json"])[0]["RepoTags"] is None
        assert "repositories" not in files


def test_an_unknown_name_is_refused_before_the_first_byte(engine: Any) -> None:
    with pytest.raises(NotFound, match="reference does not exist"):
        save_images(engine, ["nothing:1"])
    with pytest.raises(Internal, match="invalid reference format"):
        save_images(engine, ["no thing"])
