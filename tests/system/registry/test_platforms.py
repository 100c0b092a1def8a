"""An index that is kept whole: every platform and attestation comes, stays, goes out byte for byte, and goes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import INDEX, MANIFEST, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.support.registry import Http, Registry
from tests.system.registry.test_pull import FAST, nothing_is_left
from wharf.engine.image_delete import delete_image
from wharf.engine.image_tag import tag_image
from wharf.errors import Conflict, Internal, Invalid, NotFound
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.transfer.closure import MAX_DOCUMENTS
from wharf.transfer.pull import Pulled, PullOptions, pull
from wharf.transfer.push import Pushed, push

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
STATEMENT = "application/vnd.in-toto+json"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


@pytest.fixture
def source() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


def entry(data: bytes, os_: str, architecture: str, media: str = MANIFEST) -> dict[str, Any]:
    platform = {"os": os_, "architecture": architecture}
    return {"mediaType": media, "digest": digest_of(data), "size": len(data), "platform": platform}


def indexed(registry: FakeRegistry) -> bytes:
    """`app:1`: two platforms, an attestation of one, and one more platform in an index in the index."""
    images = {name: registry.image("app", [tar_of({"a": name.encode()})], architecture=name) for name in
              ("amd64", "arm64", "s390x")}  # fmt: skip
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    document = json.loads(images["amd64"])
    document["layers"] = [{"mediaType": STATEMENT, "digest": registry.blob(statement), "size": len(statement)}]
    attestation = json.dumps(document).encode()
    registry.put("app", digest_of(attestation), MANIFEST, attestation)
    inner = json.dumps(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(images["s390x"], "linux", "s390x")]}
    )
    registry.put("app", digest_of(inner.encode()), INDEX, inner.encode())
    entries = [entry(images[name], "linux", name) for name in ("amd64", "arm64")]
    entries += [entry(attestation, "unknown", "unknown"), entry(inner.encode(), "linux", "s390x", INDEX)]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, indent=2).encode()
    registry.put("app", "1", INDEX, index)
    return index


def everything(registry: FakeRegistry) -> set[str]:
    """Digests of all that the registry has."""
    return {digest_of(data) for _, data in registry.manifests.values()} | set(registry.blobs)


def fetch(engine: Any, registry: FakeRegistry, *, whole: bool = True) -> Pulled:
    client = Client(FAST)
    reference = registry.reference("app:1")
    try:
        options = PullOptions(everything=whole)
        return pull(engine.images, Repository(client, reference), reference, options, lambda message: None)
    finally:
        client.close()


def send(engine: Any, reference: Reference, *, whole: bool = True) -> Pushed:
    client = Client(FAST)
    try:
        repository = Repository(client, reference)
        return push(
            engine.images,
            repository,
            reference,
            lambda message: None,
            chosen=None if whole else engine.images.named(reference),
        )
    finally:
        client.close()


def sweep(engine: Any) -> None:
    engine.images.operations.request_sweep()


def test_all_of_it_comes_stays_and_goes(engine: Any, source: FakeRegistry) -> None:
    index = indexed(source)
    first = fetch(engine, source)
    assert str(first.digest) == digest_of(index) and engine.blobs() == everything(source)
    sweep(engine)
    assert engine.blobs() == everything(source)
    source.forget()
    assert not fetch(engine, source).changed and not source.seen("GET", "/blobs/")
    assert len(engine.images.all()) == 1
    delete_image(engine, str(source.reference("app:1")))
    sweep(engine)
    assert not engine.blobs() and not engine.database.leases.all()


def test_without_asking_one_platform_comes(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    fetch(engine, source, whole=False)
    assert len(engine.blobs()) == 4  # index, manifest, config, layer
    assert fetch(engine, source).changed  # now it is asked for
    assert engine.blobs() == everything(source)


def test_a_name_that_moves_lets_the_rest_go(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    old = fetch(engine, source)
    source.add("app", "1", [tar_of({"b": b"new"})])
    new = fetch(engine, source)
    delete_image(engine, old.image.id.hex, force=True)
    sweep(engine)
    assert engine.blobs() == {str(blob.digest) for blob in new.image.blobs} and not engine.database.leases.all()


@pytest.mark.parametrize("kind", ["wharf_registry", "docker_registry"])
def test_it_goes_out_byte_for_byte(
    engine: Any, source: FakeRegistry, name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    registry: Registry = request.getfixturevalue(kind)
    index = indexed(source)
    fetch(engine, source)
    target = Reference.parse(f"{registry.host}/{name}:1")
    tag_image(engine, str(source.reference("app:1")), target.name, "1")
    assert str(send(engine, target).digest) == digest_of(index)
    http = Http(registry.port)
    for reference in ("1", *(digest_of(data) for _, data in source.manifests.values())):
        accept = f"{INDEX}, {MANIFEST}"
        body = http("GET", f"/v2/{name}/manifests/{reference}", Accept=accept).body
        assert body == (index if reference == "1" else source.manifests["app", reference][1])
    assert all(http("HEAD", f"/v2/{name}/blobs/{digest}").status == 200 for digest in source.blobs)
    http.close()
    one = send(engine, target, whole=False)
    assert str(one.digest) == json.loads(index)["manifests"][0]["digest"]


def test_one_platform_goes_and_comes_again(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    text, whole = str(source.reference("app:1")), fetch(engine, source)
    arm = Platform("linux", "arm64")
    with pytest.raises(Invalid, match="all images referencing this variant"):
        delete_image(engine, text, platforms=[arm])
    with pytest.raises(NotFound, match="does not match the specified platform"):
        delete_image(engine, text, force=True, platforms=[arm, Platform("linux", "riscv64")])
    with pytest.raises(Conflict, match="remove the image itself"):
        delete_image(engine, text, force=True, platforms=[arm, whole.image.image.platform])
    assert engine.blobs() == everything(source)
    items = delete_image(engine, text, force=True, platforms=[arm])
    assert [item.deleted for item in items] == [digest_of(source.manifests["app", items[0].deleted][1])]
    sweep(engine)
    left = everything(source) - engine.blobs()
    config = json.loads(source.manifests["app", items[0].deleted][1])
    assert left == {items[0].deleted, config["config"]["digest"], config["layers"][0]["digest"]}
    assert engine.images.resolve(text).id == whole.image.id
    assert fetch(engine, source).changed and engine.blobs() == everything(source)


def test_of_an_image_that_is_one_platform_it_may_be_said(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    text = str(source.reference("app:1"))
    fetch(engine, source, whole=False)
    amd, arm = Platform("linux", "amd64"), Platform("linux", "arm64")
    with pytest.raises(Invalid, match="multiple platforms are not supported"):
        delete_image(engine, text, platforms=[amd, arm])
    with pytest.raises(NotFound, match="does not match the specified platform"):
        delete_image(engine, text, platforms=[arm])
    assert delete_image(engine, text, platforms=[amd])
    assert not engine.images.all()


def test_an_interrupted_one_leaves_no_name(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    statement = next(digest for digest, data in source.blobs.items() if b"in-toto" in data)
    source.on("GET", statement, lambda call: call.answer(500))
    with pytest.raises(Internal, match="500"):
        fetch(engine, source)
    assert nothing_is_left(engine)
    sweep(engine)
    source.forget()
    fetch(engine, source)
    assert not [call for call in source.seen("GET", "/blobs/") if statement not in call.path]
    assert engine.blobs() == everything(source)


def test_too_many(engine: Any, source: FakeRegistry) -> None:
    image = source.image("app", [tar_of({"a": b"x"})])
    entries = [entry(image, "linux", "amd64")]
    for number in range(3):
        more = [{**entry(b"%d %d" % (number, item), "linux", "x")} for item in range(MAX_DOCUMENTS // 2)]
        inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": more}).encode()
        source.put("app", digest_of(inner), INDEX, inner)
        entries.append(entry(inner, "linux", "x", INDEX))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    source.put("app", "1", INDEX, index)
    source.on("GET", "/manifests/sha256:", lambda call: call.refuse(500, "X", "asked") if (
        "app", call.path.rpartition("/")[2]) not in source.manifests else source.serve(call))  # fmt: skip
    with pytest.raises(Invalid, match=f"more than {MAX_DOCUMENTS} manifests"):
        fetch(engine, source)
    assert nothing_is_left(engine)
