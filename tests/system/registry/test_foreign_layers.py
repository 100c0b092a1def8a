"""Foreign layers: pulled from the addresses that the manifest names when the registry has them not, never pushed."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import MANIFEST, Call, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.support.registry import Http, Registry
from tests.system.registry.test_pull import Told, fetch, file_of, nothing_is_left
from tests.system.registry.test_push import document, send
from wharf.engine.image_tag import tag_image
from wharf.errors import Internal, Invalid, WharfError
from wharf.registry.client.values import Credentials
from wharf.spec.image import FOREIGN_LAYERS
from wharf.spec.reference import Reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OWN, FAR = tar_of({"own": b"own\n"}), tar_of({"far": os.urandom(1 << 20)})
PACKED = gzip.compress(FAR, 1, mtime=0)
PATH = "/layers/far"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


@pytest.fixture
def far() -> Iterator[FakeRegistry]:
    """A web server that has the layer."""
    with FakeRegistry("127.0.0.2") as made:
        made.on("GET", PATH, serve)
        yield made


def serve(call: Call, data: bytes = PACKED) -> None:
    start = int(call.headers.get("Range", "bytes=0-")[6:-1])
    where = {"Content_Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
    call.answer(206 if start else 200, data[start:], **where)


def published(registry: FakeRegistry, urls: Any, media: str = FOREIGN_LAYERS[-1]) -> Reference:
    """`app:1`: a layer of its own, and one that lies at `urls` only."""
    made = json.loads(registry.image("app", [OWN, FAR]))
    made["layers"][1].update(mediaType=media, urls=urls)
    registry.put("app", "1", MANIFEST, json.dumps(made, indent=2).encode())
    registry.blobs.pop(made["layers"][1]["digest"])
    return registry.reference("app:1")


@pytest.mark.parametrize("media", [FOREIGN_LAYERS[1], FOREIGN_LAYERS[3]])
def test_it_comes_from_its_address_which_sees_no_credentials(
    engine: Any, registry: FakeRegistry, far: FakeRegistry, media: str
) -> None:
    def guarded(call: Call) -> Any:
        if "Authorization" not in call.headers:
            return call.refuse(401, "UNAUTHORIZED", "who?", WWW_Authenticate='Basic realm="x"')
        return registry.serve(call)

    registry.on("", "/v2/", guarded)
    pulled = fetch(engine, published(registry, [f"http://{far.host}{PATH}?a=b"], media),
                   credentials=Credentials("me", "pw"))  # fmt: skip
    assert file_of(engine, pulled, "far") == next(iter(_files(FAR)))
    (asked,) = far.seen("GET", PATH)
    assert asked.path == f"{PATH}?a=b" and "authorization" not in asked.headers
    assert pulled.image.layers[1].urls == (f"http://{far.host}{PATH}?a=b",)


def test_the_registry_is_asked_first(engine: Any, registry: FakeRegistry, far: FakeRegistry) -> None:
    reference = published(registry, [f"http://{far.host}{PATH}"])
    registry.blob(PACKED)
    fetch(engine, reference)
    assert not far.calls


def test_the_next_address_is_tried_and_a_cut_taken_up(engine: Any, registry: FakeRegistry, far: FakeRegistry) -> None:
    def half(call: Call) -> None:
        call.head(200, Content_Length=str(len(PACKED)))
        call.wfile.write(PACKED[: 1 << 19])
        call.cut()

    far.rules.clear()
    far.on("GET", "/gone", lambda call: call.answer(404))
    far.on("GET", "/cut", half)
    far.on("GET", PATH, half, times=1)
    far.on("GET", PATH, serve)
    urls = ["ftp://x/y", "http://example.com/plain", *(f"http://{far.host}{path}" for path in ("/gone", "/cut", PATH))]
    pulled = fetch(engine, published(registry, urls))
    assert file_of(engine, pulled, "far") == next(iter(_files(FAR)))
    assert {call.headers.get("range") for call in far.seen("GET", PATH)} == {f"bytes={1 << 19}-"}
    assert len(far.seen("GET", "/cut")) == 1


def test_wrong_bytes_are_refused_whoever_sends_them(engine: Any, registry: FakeRegistry, far: FakeRegistry) -> None:
    far.on("GET", "/wrong", lambda call: serve(call, b"x" * len(PACKED)))
    wrong, right = f"http://{far.host}/wrong", f"http://{far.host}{PATH}"
    with pytest.raises(Invalid, match="filesystem layer verification failed"):
        fetch(engine, published(registry, [wrong]))
    assert nothing_is_left(engine)
    assert fetch(engine, published(registry, [wrong, right])).changed


@pytest.mark.parametrize(
    ("urls", "kind", "words"),
    [
        ([], WharfError, "blob unknown"),
        (["http://example.com/layer"], WharfError, "is refused: it is not https"),
        (["file:///etc/passwd"], WharfError, "invalid URL"),
        (["https://me:pw@127.0.0.1/layer"], WharfError, "invalid URL"),
        ("http://127.0.0.1/", Invalid, "urls is not a list of strings"),
        ([1], Invalid, "urls is not a list of strings"),
        (["http://127.0.0.1:1/layer"], Internal, "connection refused"),
        (["http://127.0.0.1:PORT/nothing"], Internal, "is not at its address"),
    ],
)
def test_addresses_where_we_do_not_go(
    engine: Any, registry: FakeRegistry, urls: Any, kind: type[WharfError], words: str
) -> None:
    with FakeRegistry() as other, pytest.raises(kind, match=words):
        port = other.host.rpartition(":")[2]
        there = [url.replace("PORT", port) if isinstance(url, str) else url for url in urls]
        fetch(engine, published(registry, there if isinstance(urls, list) else urls))
    assert nothing_is_left(engine)


def test_an_ordinary_layer_is_not_looked_for_elsewhere(engine: Any, registry: FakeRegistry, far: FakeRegistry) -> None:
    ordinary = "application/vnd.oci.image.layer.v1.tar+gzip"
    with pytest.raises(WharfError, match="blob unknown"):
        fetch(engine, published(registry, [f"http://{far.host}{PATH}"], ordinary))
    assert not far.calls


@pytest.mark.parametrize("kind", ["wharf_registry", "docker_registry"])
def test_it_is_not_pushed(
    engine: Any, registry: FakeRegistry, far: FakeRegistry, name: str, kind: str, request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:  # fmt: skip
    target_registry: Registry = request.getfixturevalue(kind)
    source = published(registry, [f"http://{far.host}{PATH}"])
    fetch(engine, source)
    target = Reference.parse(f"{target_registry.host}/{name}:1")
    tag_image(engine, str(source), target.name, "1")
    told = Told()
    send(engine, target, told)
    assert "Skipped foreign layer" in " ".join(told.texts())
    assert document(target_registry, name, "1")[0] == registry.manifests["app", "1"][1]
    http = Http(target_registry.port)
    assert http("HEAD", f"/v2/{name}/blobs/{digest_of(PACKED)}").status == 404
    http.close()
    with image_engine(tmp_path / "other") as other:
        assert file_of(other, fetch(other, target), "far") == next(iter(_files(FAR)))


def _files(layer: bytes) -> Iterator[bytes]:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        for item in tar:
            yield tar.extractfile(item).read()  # type: ignore[union-attr]
