"""Pull into a store: what is told, what is kept, and registries that do what they must not."""

import base64
import gzip
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import INDEX, LAYER, PASS, Call, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from wharf.errors import Internal, Invalid, NotFound, Unauthorized, Unavailable, WharfError
from wharf.registry.client.download import MAX_RESUMES
from wharf.registry.client.errors import Misbehaves
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.values import NOBODY, ClientConfig, Credentials
from wharf.spec.platform import Platform
from wharf.spec.reference import Reference
from wharf.transfer.pull import Pulled, PullOptions, pull

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
FAST = ClientConfig(backoff=0.001)
BASE, TOP = tar_of({"a": b"base\n"}), tar_of({"b": os.urandom(3 << 20)})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        yield made


class Told(list[dict[str, Any]]):
    """Messages; as texts of `status`, with the id before where there is one."""

    def texts(self) -> list[str]:
        """Without figures."""
        lines = [f"{item['id']}: {item['status']}" if "id" in item else item.get("status", "") for item in self]
        return [text for text, item in zip(lines, self, strict=True) if not item.get("progressDetail")]


def fetch(
    engine: Any,
    reference: Reference,
    told: list[dict[str, Any]] | None = None,
    *,
    config: ClientConfig = FAST,
    credentials: Credentials = NOBODY,
    platform: Platform | None = None,
) -> Pulled:
    """Pull with a client of its own."""
    client = Client(config)
    try:
        repository = Repository(client, reference, credentials)
        emit = (told if told is not None else []).append
        return pull(engine.images, repository, reference, PullOptions(platform), emit)
    finally:
        client.close()


def nothing_is_left(engine: Any) -> bool:
    """No image, no name, nothing half-made."""
    return not engine.images.all() and not engine.database.names.all() and not engine.leftovers()


def file_of(engine: Any, pulled: Pulled, name: str) -> bytes:
    """A file of the top snapshot's own."""
    top = pulled.image.chain_id
    assert top
    return (Path(engine.snapshots.layers(top).upper) / name).read_bytes()


def test_a_pull_says_what_docker_says(engine: Any, registry: FakeRegistry) -> None:
    reference, told = registry.add("team/app", "1", [BASE, TOP]), Told()
    pulled = fetch(engine, reference, told)
    first, second = (layer.digest.hex[:12] for layer in pulled.image.layers)
    texts = told.texts()
    assert texts[:3] == ["1: Pulling from team/app", f"{first}: Pulling fs layer", f"{second}: Pulling fs layer"]
    for layer in (first, second):
        steps = [text.partition(": ")[2] for text in texts if text.startswith(layer)]
        assert steps == ["Pulling fs layer", "Verifying Checksum", "Download complete", "Pull complete"]
        figures = [item for item in told if item.get("id") == layer and item.get("progressDetail")]
        assert {item["status"] for item in figures} == {"Downloading", "Extracting"}
        assert figures[-1]["progressDetail"]["current"] == figures[-1]["progressDetail"]["total"]
    assert texts.index(f"{first}: Pull complete") < texts.index(f"{second}: Pull complete")
    assert texts[-2:] == [f"Digest: {pulled.digest}", f"Status: Downloaded newer image for {registry.host}/team/app:1"]
    names = sorted(name.familiar() for name in engine.images.resolve(str(reference)).names)
    assert names == [f"{registry.host}/team/app:1", f"{registry.host}/team/app@{pulled.digest}"]
    assert file_of(engine, pulled, "b") in TOP
    assert engine.blobs() == {digest_of(data) for data in registry.blobs.values()} | {str(pulled.digest)}
    assert not engine.database.leases.all()


def test_a_second_pull_asks_once_and_says_so(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    fetch(engine, reference)
    registry.forget()
    told = Told()
    assert not fetch(engine, reference, told).changed
    assert told.texts()[-1] == f"Status: Image is up to date for {registry.host}/app:1"
    assert [(call.method, call.path) for call in registry.calls if call.path != "/v2/"] == [
        ("HEAD", "/v2/app/manifests/1")
    ]


def test_a_tag_that_moved_brings_only_what_is_new(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    old = fetch(engine, reference)
    registry.add("app", "1", [BASE, TOP])
    registry.forget()
    told = Told()
    new = fetch(engine, reference, told)
    assert new.changed and new.image.id != old.image.id
    assert f"{old.image.layers[0].digest.hex[:12]}: Already exists" in told.texts()
    assert not registry.seen("GET", str(old.image.layers[0].digest))
    assert engine.images.resolve(str(reference)).id == new.image.id


def test_by_digest(engine: Any, registry: FakeRegistry) -> None:
    tagged = registry.add("app", "1", [BASE])
    digest = digest_of(registry.manifests["app", "1"][1])
    by_digest = registry.reference(f"app@{digest}")
    told = Told()
    fetch(engine, by_digest, told)
    assert told.texts()[0] == f"{digest}: Pulling from app"
    assert [name.familiar() for name in engine.images.resolve(str(by_digest)).names] == [
        f"{registry.host}/app@{digest}"
    ]
    registry.manifests["app", digest] = registry.manifests["app", "1"][0], b"{}"
    other = registry.add("other", "1", [TOP])
    registry.manifests["other", digest] = registry.manifests["other", "1"]
    with pytest.raises(Misbehaves, match="manifest verification failed for digest"):
        fetch(engine, replace(other, tag=None, digest=by_digest.digest))
    assert tagged.tag == "1"


def test_plain_and_repeated_layers(engine: Any, registry: FakeRegistry) -> None:
    pulled = fetch(engine, registry.add("app", "1", [BASE, TOP, BASE], plain=True))
    assert [layer.digest for layer in pulled.image.layers] == list(pulled.image.image.diff_ids)
    assert file_of(engine, pulled, "a") == b"base\n"


@pytest.mark.parametrize(("wanted", "cmd"), [(None, "amd64"), (Platform("linux", "arm64"), "arm64")])
def test_an_index_gives_the_platform(engine: Any, registry: FakeRegistry, wanted: Platform | None, cmd: str) -> None:
    images = {name: registry.image("app", [BASE], architecture=name) for name in ("arm64", "amd64")}
    attestation = registry.image("app", [TOP], os="unknown", architecture="unknown")
    entries = [(images["arm64"], {"os": "linux", "architecture": "arm64", "variant": "v8"})]
    entries += [(attestation, {"os": "unknown", "architecture": "unknown"})]
    entries += [(images["amd64"], {"os": "linux", "architecture": "amd64"})]
    index = registry.index("app", "1", entries)
    pulled = fetch(engine, registry.reference("app:1"), platform=wanted)
    assert pulled.image.image.platform.architecture == cmd
    assert str(pulled.digest) == digest_of(index)
    assert str(engine.database.names.all()[0].target.digest) == digest_of(index)
    assert not fetch(engine, registry.reference("app:1"), platform=wanted).changed


def test_an_index_without_the_platform(engine: Any, registry: FakeRegistry) -> None:
    only = registry.image("app", [BASE], architecture="s390x")
    registry.index("app", "1", [(only, {"os": "linux", "architecture": "s390x"})])
    words = "no matching manifest for linux/amd64 in the manifest list entries"
    with pytest.raises(NotFound, match=words):
        fetch(engine, registry.reference("app:1"), platform=Platform())
    assert nothing_is_left(engine)


def test_indexes_in_indexes_end(engine: Any, registry: FakeRegistry) -> None:
    document = registry.image("app", [BASE])
    media = "application/vnd.oci.image.manifest.v1+json"
    for _ in range(6):
        document = registry.index("app", "1", [(document, {"os": "linux", "architecture": "amd64"})], media)
        media = INDEX
    with pytest.raises(Invalid, match="an index in an index"):
        fetch(engine, registry.reference("app:1"))
    assert nothing_is_left(engine)


def test_docker_words_for_what_is_not_there(engine: Any, registry: FakeRegistry) -> None:
    name = f"{registry.host}/none"
    with pytest.raises(NotFound) as missing:
        fetch(engine, registry.reference("none:1"))
    assert str(missing.value) == f"manifest for {name}:1 not found: manifest unknown: manifest unknown"
    registry.on("", "/manifests/", lambda call: call.refuse(404, "NAME_UNKNOWN", "repository name not known"))
    with pytest.raises(NotFound, match=f"repository {name} not found: name unknown: repository name not known"):
        fetch(engine, registry.reference("none:1"))
    registry.forget()
    registry.on("", "/manifests/", lambda call: call.refuse(403, "DENIED", "requested access is denied"))
    with pytest.raises(NotFound) as denied:
        fetch(engine, registry.reference("none:1"))
    assert str(denied.value) == (
        f"pull access denied for {name}, repository does not exist or may require 'docker login': "
        "denied: requested access is denied"
    )


def test_nobody_answers(engine: Any) -> None:
    with FakeRegistry() as gone:
        reference = gone.reference("app:1")
    with pytest.raises(
        Internal, match=rf'Get "http://{gone.host}/v2/.*": dial tcp {gone.host}: connect: connection refused'
    ):
        fetch(engine, reference)


def test_a_wrong_digest(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE, TOP])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][1]["digest"]
    other = bytearray(registry.blobs[layer])
    other[-1] ^= 1
    registry.blobs[layer] = bytes(other)
    with pytest.raises(Invalid, match=f"filesystem layer verification failed for digest {layer}|data is damaged"):
        fetch(engine, reference)
    assert nothing_is_left(engine) and layer not in engine.blobs()


def test_a_right_blob_that_is_not_the_configs_layer(engine: Any, registry: FakeRegistry) -> None:
    good = registry.image("app", [BASE])
    document = json.loads(good)
    wrong = gzip.compress(tar_of({"evil": b"x"}), mtime=0)
    document["layers"][0] |= {"digest": registry.blob(wrong), "size": len(wrong)}
    registry.put("app", "1", document["mediaType"], json.dumps(document).encode())
    with pytest.raises(Invalid, match="wrong digest"):
        fetch(engine, registry.reference("app:1"))
    assert nothing_is_left(engine)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_lying_content_length(engine: Any, registry: FakeRegistry, difference: int) -> None:
    reference = registry.add("app", "1", [TOP])

    def lie(call: Call) -> None:
        data = registry.blobs[call.path.rpartition("/")[2]]
        call.head(200, Content_Length=str(len(data) + difference))
        call.wfile.write(data)
        call.cut()

    registry.on("GET", "/blobs/" + json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"], lie)
    with pytest.raises(Misbehaves, match="bytes announced"):
        fetch(engine, reference)
    assert nothing_is_left(engine)


@pytest.mark.parametrize("what", ["/blobs/", "/manifests/"])
def test_an_endless_body(engine: Any, registry: FakeRegistry, what: str) -> None:
    reference = registry.add("app", "1", [BASE])

    def endless(call: Call) -> None:
        call.head(200, Transfer_Encoding="chunked", Content_Type="application/vnd.oci.image.manifest.v1+json")
        piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        try:
            while True:
                call.wfile.write(piece)
        except OSError:
            call.close_connection = True

    registry.on("GET", what, endless)
    with pytest.raises(Misbehaves, match=r"larger than the limit|goes on after"):
        fetch(engine, reference)
    assert nothing_is_left(engine)


def test_a_manifest_that_is_too_large(engine: Any, registry: FakeRegistry) -> None:
    document = json.loads(registry.image("app", [BASE])) | {"annotations": {"a": "x" * (4 << 20)}}
    registry.put("app", "1", document["mediaType"], json.dumps(document).encode())
    with pytest.raises(Misbehaves, match=f"larger than the limit of {4 << 20} bytes"):
        fetch(engine, registry.reference("app:1"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": [{"mediaType": "text/x", "digest": digest_of(b""), "size": 0}]}, "unsupported media type 'text/x'"),
        ({"config": {"mediaType": "text/x", "digest": digest_of(b""), "size": 0}}, "not a container image"),
        ({"layers": []}, "layers length mismatch"),
        ({"layers": None}, "schemaVersion 2"),
    ],
)
def test_manifests_of_no_image(engine: Any, registry: FakeRegistry, change: dict[str, Any], words: str) -> None:
    document = json.loads(registry.image("app", [BASE])) | change
    registry.put("app", "1", document["mediaType"], json.dumps(document).encode())
    with pytest.raises(Invalid, match=words):
        fetch(engine, registry.reference("app:1"))
    assert nothing_is_left(engine)


def test_a_cut_is_taken_up_where_it_was(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [TOP])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]
    steps = [1, 1000, 1 << 20]

    def cut(call: Call) -> None:
        data = registry.blobs[layer]
        start = int(call.headers.get("Range", "bytes=0-")[6:-1])
        call.head(206 if start else 200, Content_Length=str(len(data) - start))
        call.wfile.write(data[start : start + steps[len(registry.seen("GET", layer)) - 1]])
        call.cut()

    registry.on("GET", layer, cut, times=len(steps))
    assert file_of(engine, fetch(engine, reference), "b") in TOP
    ranges = [call.headers.get("range") for call in registry.seen("GET", layer)]
    assert ranges == [None, "bytes=1-", "bytes=1001-", f"bytes={1001 + (1 << 20)}-"]


def test_a_cut_at_a_server_without_ranges(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [TOP])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]

    def cut(call: Call) -> None:
        call.head(200, Content_Length=str(len(registry.blobs[layer])))
        call.wfile.write(registry.blobs[layer][: 1 << 20])
        call.cut()

    registry.on("GET", layer, cut, times=1)
    registry.on("GET", layer, lambda call: call.answer(200, registry.blobs[layer]))
    assert file_of(engine, fetch(engine, reference), "b") in TOP


def test_cuts_without_end_end(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [TOP])
    layer = json.loads(registry.manifests["app", "1"][1])["layers"][0]["digest"]

    def drip(call: Call) -> None:
        start = int(call.headers.get("Range", "bytes=0-")[6:-1])
        call.head(206 if start else 200, Content_Length=str(len(registry.blobs[layer]) - start))
        call.wfile.write(registry.blobs[layer][start : start + 1])
        call.cut()

    registry.on("GET", layer, drip)
    with pytest.raises(Internal, match="EOF"):
        fetch(engine, reference)
    assert len(registry.seen("GET", layer)) == MAX_RESUMES + 1
    assert nothing_is_left(engine)


def test_an_interrupted_pull_leaves_what_came_and_no_name(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE, TOP])
    base, top = (layer["digest"] for layer in json.loads(registry.manifests["app", "1"][1])["layers"])
    came = threading.Event()

    def broken(call: Call) -> None:
        came.wait(30)
        call.answer(500)

    def tell(message: dict[str, Any]) -> None:
        if message["status"] == "Download complete":
            came.set()

    registry.on("GET", top, broken)
    client = Client(FAST)
    with pytest.raises(Internal):
        pull(engine.images, Repository(client, reference), reference, PullOptions(), tell)
    client.close()
    assert nothing_is_left(engine) and base in engine.blobs()
    engine.images.restore()  # as a start would after kill -9
    assert base in engine.blobs()
    registry.forget()
    fetch(engine, reference)
    assert not registry.seen("GET", base) and registry.seen("GET", top)
    assert not engine.database.leases.all()


def test_who_goes_away_ends_the_pull(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [TOP])

    def gone(message: dict[str, Any]) -> None:
        if message["status"] == "Downloading":
            raise Unavailable("the client closed the connection")

    client = Client(FAST)
    with pytest.raises(Unavailable):
        pull(engine.images, Repository(client, reference), reference, PullOptions(), gone)
    client.close()
    assert nothing_is_left(engine)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_what_passes_is_tried_again(engine: Any, registry: FakeRegistry, status: int) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("GET", "/v2/app/", lambda call: call.answer(status), times=4)
    fetch(engine, reference)


def test_what_stays_is_told(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("GET", "/v2/app/", lambda call: call.answer(503))
    with pytest.raises(Internal, match=r"unexpected status from .*: 503"):
        fetch(engine, reference)
    assert len(registry.seen("GET", "/manifests/")) == FAST.attempts


def test_429_waits_as_long_as_it_says(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("GET", "/manifests/", lambda call: call.refuse(429, "TOOMANYREQUESTS", "slow", Retry_After="0"), 2)
    fetch(engine, reference)


@pytest.mark.parametrize("after", [{}, {"Retry_After": "3600"}])
def test_429_without_an_end_in_sight_is_told_at_once(
    engine: Any, registry: FakeRegistry, after: dict[str, str]
) -> None:
    reference = registry.add("app", "1", [BASE])
    words = "You have reached your pull rate limit."
    registry.on("GET", "/manifests/", lambda call: call.refuse(429, "TOOMANYREQUESTS", words, **after))
    with pytest.raises(Internal, match=f"toomanyrequests: {words}"):
        fetch(engine, reference)
    assert len(registry.seen("GET", "/manifests/")) == 1


def test_a_redirect_carries_no_credentials(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    user = Credentials("me", "secret")

    def guard(call: Call) -> Any:
        if call.headers.get("Authorization") != "Basic " + base64.b64encode(b"me:secret").decode():
            return call.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate='Basic realm="r"')
        return PASS

    with FakeRegistry("127.0.0.2") as store:
        store.blobs.update(registry.blobs)
        registry.on("", "/v2/app", guard)
        registry.on("GET", "/blobs/", lambda call: call.answer(307, Location=f"http://{store.host}{call.path}?sig=1"))
        fetch(engine, reference, credentials=user)
        assert len(store.seen("GET", "sig=1")) == 2
        assert not any("authorization" in call.headers for call in store.calls)


def test_redirects_end(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("GET", "/blobs/", lambda call: call.answer(307, Location=call.path))
    with pytest.raises(Misbehaves, match="stopped after 10 redirects"):
        fetch(engine, reference)
    assert len(registry.seen("GET", "/blobs/")) == 10


@pytest.mark.parametrize(
    "target", ["http://192.0.2.1/x", "file:///etc/passwd", "http://me:pw@127.0.0.1/", "http://[::1"]
)
def test_redirects_to_where_we_do_not_go(engine: Any, registry: FakeRegistry, target: str) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("GET", "/blobs/", lambda call: call.answer(307, Location=target))
    with pytest.raises((Misbehaves, Internal), match=r"refused|invalid URL"):
        fetch(engine, reference)


class Realm:
    """Tokens for `registry`, given out at `realm`."""

    def __init__(self, registry: FakeRegistry, realm: FakeRegistry, life: int = 300) -> None:
        self.given = 0
        self.realm = realm
        self.life = life
        registry.on("", "^/v2/.", self.guard)
        realm.on("", "^/token", self.give)

    def guard(self, call: Call) -> Any:
        name = call.path.split("/")[2]
        if call.headers.get("Authorization") == f"Bearer t{self.given}" and self.given:
            return PASS
        where = f'Bearer realm="http://{self.realm.host}/token",service="s",scope="repository:{name}:pull"'
        return call.refuse(401, "UNAUTHORIZED", "authentication required", WWW_Authenticate=where)

    def give(self, call: Call) -> None:
        self.given += 1
        call.answer(200, json.dumps({"token": f"t{self.given}", "expires_in": self.life}).encode())


def test_one_token_does_for_a_scope(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE, TOP])
    realm = Realm(registry, registry)
    client = Client(FAST)
    for _ in range(2):
        repository = Repository(client, reference, Credentials("me", "secret"))
        pull(engine.images, repository, reference, PullOptions(), lambda message: None)
    client.close()
    asked = registry.seen("GET", "^/token")
    assert realm.given == len(asked) == 1
    assert asked[0].path == "/token?service=s&scope=repository%3Aapp%3Apull&account=me"
    assert asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_a_realm_elsewhere_sees_no_credentials(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    with FakeRegistry("127.0.0.2") as elsewhere:
        Realm(registry, elsewhere)
        fetch(engine, reference, credentials=Credentials("me", "secret"))
        assert [call.headers.get("authorization") for call in elsewhere.calls] == [None]
        assert not any("account" in call.path for call in elsewhere.calls)
        allowed = replace(FAST, realms={registry.host: (elsewhere.host,)})
        elsewhere.calls.clear()
        engine.images.remove(engine.images.all()[0])
        fetch(engine, reference, credentials=Credentials("me", "secret"), config=allowed)
        assert elsewhere.calls[0].headers["authorization"].startswith("Basic ")


def test_a_realm_elsewhere_that_refuses_strangers_is_named(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    with FakeRegistry("127.0.0.2") as elsewhere:
        elsewhere.on("", "^/token", lambda call: call.refuse(401, "UNAUTHORIZED", "who?"))
        Realm(registry, elsewhere)
        with pytest.raises(Unauthorized, match=f'{elsewhere.host} was not shown .*"registry-realms" allows it'):
            fetch(engine, reference, credentials=Credentials("me", "secret"))


def test_an_identity_token_is_exchanged(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    bodies = []

    def take(call: Call) -> Any:
        bodies.append(call.rfile.read(int(call.headers["Content-Length"])).decode())
        return PASS

    registry.on("POST", "^/token", take)
    Realm(registry, registry)
    fetch(engine, reference, credentials=Credentials(identity_token="refresh"))
    assert bodies == [
        "grant_type=refresh_token&service=s&client_id=docker&scope=repository%3Aapp%3Apull&refresh_token=refresh"
    ]


def test_a_registry_that_never_has_enough(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    where = f'Bearer realm="http://{registry.host}/token",service="s"'
    tokens = iter(range(1000))
    registry.on("", "^/token", lambda call: call.answer(200, json.dumps({"token": f"t{next(tokens)}"}).encode()))
    registry.on("", "^/v2/app", lambda call: call.refuse(401, "UNAUTHORIZED", "more", WWW_Authenticate=where))
    with pytest.raises(Unauthorized, match="unauthorized: more"):
        fetch(engine, reference)
    assert next(tokens) <= 6


def test_without_credentials(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    registry.on("", "^/v2/app", lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate='Basic realm="r"'))
    with pytest.raises(WharfError) as refused:
        fetch(engine, reference)
    assert str(refused.value).endswith(f'"http://{registry.host}/v2/app/manifests/1": no basic auth credentials')


def test_mirrors_come_first_and_do_not_see_credentials(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE])
    with FakeRegistry("127.0.0.2") as mirror:
        mirror.blobs, mirror.manifests = dict(registry.blobs), dict(registry.manifests)
        config = replace(FAST, mirrors={registry.host: (f"http://{mirror.host}",)})
        mirror.on("", "", lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate='Basic realm="r"'), 1)
        fetch(engine, reference, config=config, credentials=Credentials("me", "secret"))
        assert not any("authorization" in call.headers for call in mirror.calls)
        assert registry.seen("GET", "/manifests/")  # the mirror refused the first request
        assert mirror.seen("GET", "/blobs/") and not registry.seen("GET", "/blobs/")


def test_a_mirror_that_is_gone_does_not_matter(engine: Any, registry: FakeRegistry) -> None:
    with FakeRegistry("127.0.0.2") as mirror:
        config = replace(FAST, mirrors={registry.host: (f"http://{mirror.host}",)})
    fetch(engine, registry.add("app", "1", [BASE]), config=config)


def test_two_pulls_of_one_image_fetch_it_once(engine: Any, registry: FakeRegistry) -> None:
    reference = registry.add("app", "1", [BASE, TOP])
    both = threading.Barrier(2)
    registry.on("GET", "/manifests/", lambda call: (both.wait(30), PASS)[1])
    found: list[Pulled] = []
    threads = [threading.Thread(target=lambda: found.append(fetch(engine, reference))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2 and found[0].image.id == found[1].image.id
    for layer in found[0].image.layers:
        assert len(registry.seen("GET", str(layer.digest))) == 1


def test_zstd_layers(engine: Any, registry: FakeRegistry) -> None:
    import zstandard

    document = json.loads(registry.image("app", [TOP]))
    packed = zstandard.compress(TOP)
    document["layers"][0] = {"mediaType": LAYER + "+zstd", "digest": registry.blob(packed), "size": len(packed)}
    registry.put("app", "1", document["mediaType"], json.dumps(document).encode())
    assert file_of(engine, fetch(engine, registry.reference("app:1")), "b") in TOP


def test_a_decompression_bomb(engine: Any, registry: FakeRegistry) -> None:
    """Zeros behind the end of the archive: they are hashed, so they cost time, until the ratio says no."""
    from isal import isal_zlib

    encoder = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)
    zeros = bytes(16 << 20)
    packed = encoder.compress(BASE) + b"".join(encoder.compress(zeros) for _ in range(80)) + encoder.flush()
    assert len(packed) < (80 * len(zeros)) // 128
    document = json.loads(registry.image("app", [BASE]))
    document["layers"][0] |= {"digest": registry.blob(packed), "size": len(packed)}
    registry.put("app", "1", document["mediaType"], json.dumps(document).encode())
    with pytest.raises(Invalid, match="max-ratio"):
        fetch(engine, registry.reference("app:1"))
    assert nothing_is_left(engine)
