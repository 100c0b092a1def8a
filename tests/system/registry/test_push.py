"""Push to real registries, ours and the distribution's, and from there into another store."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import docker_archive
from tests.support.fake_registry import FakeRegistry, accept, tar_of
from tests.support.images import image_engine
from tests.support.registry import Http, Registry
from tests.system.registry.test_pull import FAST, Told, fetch
from wharf.engine.image_transfer import load_images
from wharf.errors import Internal, NotFound, WharfError
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.values import NOBODY, Credentials
from wharf.spec.reference import Reference
from wharf.transfer.push import Pushed, push

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path / "one") as made:
        yield made


@pytest.fixture(params=["wharf_registry", "docker_registry"])
def registry(request: pytest.FixtureRequest) -> Registry:
    found: Registry = request.getfixturevalue(request.param)
    return found


def load(engine: Any, name: str, **more: Any) -> Reference:
    """An image with plain layers, named `name`."""
    import io

    load_images(engine, io.BytesIO(docker_archive(name, **more)), lambda message: None)
    return Reference.parse(name)


def send(
    engine: Any, reference: Reference, told: list[dict[str, Any]] | None = None, credentials: Credentials = NOBODY
) -> Pushed:
    """Push with a client of its own."""
    client = Client(FAST)
    try:
        emit = (told if told is not None else []).append
        return push(engine.images, Repository(client, reference, credentials), reference, emit)
    finally:
        client.close()


def document(registry: Registry, name: str, tag: str) -> tuple[bytes, dict[str, Any]]:
    """What the registry has under a tag."""
    http = Http(registry.port)
    try:
        answer = http("GET", f"/v2/{name}/manifests/{tag}", Accept="*/*, application/vnd.oci.image.manifest.v1+json")
        assert answer.status == 200, answer.body
        return answer.body, answer.json
    finally:
        http.close()


def test_what_was_made_here_arrives_compressed(engine: Any, registry: Registry, name: str, tmp_path: Path) -> None:
    layers = [tar_of({"a": b"base\n"}), tar_of({"b": os.urandom(2 << 20)})]
    reference, told = load(engine, f"{registry.host}/{name}:1", layers=layers), Told()
    pushed = send(engine, reference, told)
    image = engine.images.resolve(str(reference))
    first, second = (diff_id.hex[:12] for diff_id in image.image.diff_ids)
    texts = told.texts()
    assert texts[:2] == [f"{second}: Preparing", f"{first}: Preparing"]
    assert {f"{first}: Pushed", f"{second}: Pushed"} <= set(texts)
    assert told[-2] == {"status": f"1: digest: {pushed.digest} size: {pushed.size}"}
    assert told[-1] == {
        "progressDetail": {},
        "aux": {"Tag": "1", "Digest": str(pushed.digest), "Size": pushed.size},
    }
    data, manifest = document(registry, name, "1")
    assert len(data) == pushed.size
    assert {layer["mediaType"] for layer in manifest["layers"]} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert f"{reference.name}@{pushed.digest}" in [item.familiar() for item in image.names]
    with image_engine(tmp_path / "two") as other:
        assert fetch(other, reference).image.id == image.id


def test_a_second_push_sends_equal_bytes(engine: Any, registry: Registry, name: str) -> None:
    reference = load(engine, f"{registry.host}/{name}:1", layers=[tar_of({"a": os.urandom(1 << 20)})])
    first, told = send(engine, reference), Told()
    assert send(engine, reference, told) == first
    assert [text.partition(": ")[2] for text in told.texts() if "layer" in text.lower()] == ["Layer already exists"]


def test_the_encoder_gives_equal_bytes_without_remembering(engine: Any, registry: Registry, name: str) -> None:
    reference = load(engine, f"{registry.host}/{name}:1", layers=[tar_of({"a": os.urandom(1 << 20)})])
    first = send(engine, reference)
    engine.database.write("DELETE FROM compressed", ())
    assert send(engine, reference) == first


def test_another_repository_gives_its_layer(engine: Any, registry: Registry, name: str) -> None:
    reference = load(engine, f"{registry.host}/{name}:1", layers=[tar_of({"a": os.urandom(1 << 20)})])
    send(engine, reference)
    other, told = Reference.parse(f"{registry.host}/{name}-2:1"), Told()
    engine.images.tag(engine.images.resolve(str(reference)), other)
    send(engine, other, told)
    assert [text.partition(": ")[2] for text in told.texts() if "ounted" in text] == [f"Mounted from {name}"]


def test_what_was_pulled_goes_out_byte_for_byte(engine: Any, registry: Registry, name: str) -> None:
    with FakeRegistry() as source:
        for plain in (False, True):
            pulled = fetch(engine, source.add("app", f"{plain}", [tar_of({"a": os.urandom(1 << 16)})], plain=plain))
            reference = Reference.parse(f"{registry.host}/{name}:{plain}")
            engine.images.tag(pulled.image, reference)
            assert send(engine, reference).digest == pulled.digest
            assert document(registry, name, f"{plain}")[0] == source.manifests["app", f"{plain}"][1]


def test_without_a_right_nothing_is_sent(engine: Any, tmp_path: Path) -> None:
    for kind in ("token", "basic"):
        registry = Registry("--auth", kind)
        Path(registry.root).mkdir()
        registry.run("user", "add", "alice", feed="alice-secret\n")
        with registry:
            reference = load(engine, f"{registry.host}/alice/app:1", layers=[tar_of({"a": b"x"})])
            theirs = load(engine, f"{registry.host}/bob/app:1", layers=[tar_of({"a": b"x"})])
            for who in (NOBODY, Credentials("alice", "wrong")):
                with pytest.raises(WharfError, match=r"no basic auth|unauthorized|denied"):
                    send(engine, reference, credentials=who)
            alice = Credentials("alice", "alice-secret")
            with pytest.raises(WharfError, match=r"denied|unauthorized"):
                send(engine, theirs, credentials=alice)
            pushed = send(engine, reference, credentials=alice)
            with image_engine(tmp_path / kind) as other:
                assert fetch(other, reference, credentials=alice).digest == pushed.digest


def test_a_name_that_is_not_here(engine: Any, registry: Registry, name: str) -> None:
    with pytest.raises(NotFound, match="tag does not exist"):
        send(engine, Reference.parse(f"{registry.host}/{name}:1"))


@pytest.mark.parametrize("packed", [False, True])
def test_an_upload_that_is_cut_goes_on_where_it_was(engine: Any, packed: bool) -> None:
    """`packed`: a layer that came compressed; else one that is compressed on its way."""
    layer = tar_of({"a": os.urandom(4 << 20)})
    with FakeRegistry() as registry, FakeRegistry("127.0.0.2") as source:
        if packed:
            image = fetch(engine, source.add("app", "1", [layer])).image
            reference = registry.reference("app:1")
            engine.images.tag(image, reference)
        else:
            reference = load(engine, f"{registry.host}/app:1", layers=[layer])
        uploads: dict[str, bytearray] = {}

        def cut(call: Any) -> None:
            number = re.search(r"uploads/(\d+)", call.path)[1]  # type: ignore[index]
            if "chunked" in call.headers.get("Transfer-Encoding", ""):
                size = int(call.rfile.readline(), 16)
                uploads[number] += call.rfile.read(min(size, 100_000))
            else:
                uploads[number] += call.rfile.read(1_000_000)
            call.cut()

        registry.on("PATCH", "uploads/", cut, times=2)
        uploads = accept(registry)
        pushed = send(engine, reference)
        assert len(registry.seen("PATCH", "uploads/")) == 3 and len(registry.seen("GET", "uploads/")) == 2
        assert (
            registry.seen("PATCH", "uploads/")[-1]
            .headers["content-range"]
            .startswith("1100000-" if not packed else "2000000-")
        )
        manifest = json.loads(registry.manifests["app", str(pushed.digest)][1])
        assert {item["digest"] for item in manifest["layers"]} <= set(registry.blobs)


def test_a_server_that_is_busy_is_asked_again(engine: Any) -> None:
    with FakeRegistry() as registry:
        reference = load(engine, f"{registry.host}/app:1", layers=[tar_of({"a": os.urandom(1 << 20)})])
        registry.on("POST", "uploads/", lambda call: call.answer(503), times=2)
        registry.on("PUT", "/manifests/", lambda call: (call.rfile.read(int(call.headers["Content-Length"])),
                                                        call.answer(502)), times=1)  # fmt: skip
        accept(registry)
        assert ("app", str(send(engine, reference).digest)) in registry.manifests


def test_a_server_that_stays_broken_is_told(engine: Any) -> None:
    with FakeRegistry() as registry:
        reference = load(engine, f"{registry.host}/app:1", layers=[tar_of({"a": b"x"})])
        registry.on("POST", "uploads/", lambda call: call.answer(500))
        with pytest.raises(Internal, match=r"unexpected status from .*: 500"):
            send(engine, reference)
        assert not [name for name in engine.database.names.all() if name.reference.digest]
