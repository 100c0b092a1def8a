"""Registries and realms that do what they must not, against the client alone: no store, no root."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.fake_registry import CONFIG, MANIFEST, Call, FakeRegistry, digest_of, tar_of
from tests.system.registry.test_pull import FAST, Realm
from wharf.errors import Internal, Invalid, Unauthorized, WharfError
from wharf.registry.client.errors import Misbehaves, Refused, Unreachable
from wharf.registry.client.login import login
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.registry.client.upload import Uploads
from wharf.registry.client.values import NOBODY, ClientConfig, Credentials, Document
from wharf.spec.digest import Digest
from wharf.spec.image import Descriptor
from wharf.spec.reference import Reference
from wharf.transfer.choose import MAX_ENTRIES, manifest_for
from wharf.transfer.tags import list_tags

ME = Credentials("me", "secret")
IMPATIENT = replace(FAST, attempts=2, read_timeout=0.2)
SECONDS = 30.0


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        made.add("app", "1", [tar_of({"a": b"base\n"})])
        yield made


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client(FAST)
    yield made
    made.close()


def repository(client: Client, registry: FakeRegistry, credentials: Credentials = NOBODY) -> Repository:
    return Repository(client, registry.reference("app:1"), credentials)


def received(repo: Repository, blob: Descriptor) -> bytes:
    out = bytearray()
    repo.download(blob, out.extend)
    return bytes(out)


class Raw:
    """Answers every connection with bytes as they are, then closes it; `handle` may do more."""

    def __init__(self, handle: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._handle = handle
        self._over = threading.Event()
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(sock,), daemon=True))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                if sock.recv(1, socket.MSG_PEEK) != b"\x16":  # a client tries TLS first
                    self.connections += 1
                    self._handle(sock)
            except OSError:
                pass

    def until_gone(self, sock: socket.socket, piece: bytes, pause: float) -> None:
        """`piece` again and again."""
        sock.recv(65536)
        while not self._over.wait(pause):
            sock.sendall(piece)

    def __enter__(self) -> "Raw":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(SECONDS)


def whole_answer(registry: FakeRegistry) -> bytes:
    """A right answer to GET of the manifest, byte for byte."""
    data = registry.manifests["app", "1"][1]
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nDocker-Content-Digest: {digest_of(data)}\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def test_a_connection_that_is_cut_at_any_byte(registry: FakeRegistry) -> None:
    """Of the head and the body of a manifest: asked for again, and right in the end."""
    answer = whole_answer(registry)
    cut_after = iter(range(len(answer)))
    turn = iter(range(10**9))

    def handle(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer[: next(cut_after)] if next(turn) % 2 == 0 else answer)

    with Raw(handle) as raw:
        client = Client(replace(FAST, backoff=0.0))
        place = Repository(client, Reference.parse(f"{raw.host}/app:1"))
        for _ in range(len(answer)):
            assert place.manifest("1").data == registry.manifests["app", "1"][1]
        client.close()
        assert raw.connections == 2 * len(answer)
        assert next(cut_after, None) is None


@pytest.mark.parametrize(
    "piece", [b"HTTP/1.1 200 OK\r\n\r\n", b"x", b"HTTP/1.1 200 OK\r\nA: b\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 9]
)
def test_slow_answers_end(piece: bytes) -> None:
    """A byte now and then, in the head or behind it, is a silence in the long run."""
    box: list[Raw] = []
    with Raw(lambda sock: box[0].until_gone(sock, piece, 0.05)) as raw:
        box.append(raw)
        client = Client(IMPATIENT)
        started = time.monotonic()
        with pytest.raises(Internal):
            Repository(client, Reference.parse(f"{raw.host}/app:1")).manifest("1")
        client.close()
        assert time.monotonic() - started < SECONDS


def test_a_slow_blob_is_taken_up_elsewhere(registry: FakeRegistry) -> None:
    """A mirror that drips is left for the registry, which goes on where it was."""
    data = registry.blobs[registry.blob(b"0123456789" * 10_000)]
    blob = Descriptor("", Digest.of(data), len(data))
    with FakeRegistry("127.0.0.2") as mirror:

        def drip(call: Call) -> None:
            call.head(200, Content_Length=str(len(data)))
            for byte in data:
                call.wfile.write(bytes([byte]))
                time.sleep(0.02)

        mirror.on("GET", "/blobs/", drip)
        client = Client(replace(IMPATIENT, mirrors={registry.host: (f"http://{mirror.host}",)}))
        assert received(repository(client, registry), blob) == data
        client.close()
        start = int(registry.seen("GET", str(blob.digest))[0].headers["range"][6:-1])
        assert 0 < start < 10_000


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK" + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
    ],
)
def test_heads_that_are_none_or_too_large(head: bytes) -> None:
    def handle(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(head)

    with Raw(handle) as raw:
        client = Client(IMPATIENT)
        with pytest.raises(Internal):
            Repository(client, Reference.parse(f"{raw.host}/app:1")).manifest("1")
        client.close()


def test_bodies_without_end(registry: FakeRegistry, client: Client) -> None:
    """Of manifests, configs, errors, tokens and lists of tags."""

    def endless(status: int) -> Callable[[Call], None]:
        def act(call: Call) -> None:
            call.close_connection = True
            call.head(status, Content_Type="application/json")
            while True:
                call.wfile.write(b"[" * 65536)

        return act

    repo = repository(client, registry)
    registry.on("GET", "/manifests/1", endless(200))
    with pytest.raises(Misbehaves, match="larger than the limit"):
        repo.manifest("1")
    registry.on("GET", "/blobs/", endless(200))
    with pytest.raises(Misbehaves, match="larger than the limit"):
        repo.document(Digest.of(b""), 1000)
    registry.on("GET", "/tags/", endless(200))
    with pytest.raises(Misbehaves, match="larger than the limit"):
        list_tags(repo, registry.reference("app"))
    registry.forget()
    registry.on("GET", "/manifests/", endless(403))
    with pytest.raises(Refused) as refused:
        repo.manifest("1")
    assert refused.value.status == 403
    registry.forget()
    Realm(registry, registry)
    registry.rules.insert(0, registry.rules.pop())
    registry.rules[0].act = endless(200)
    with pytest.raises(Misbehaves, match="larger than the limit"):
        repository(client, registry).manifest("1")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b"null", b'{"token": ""}', b'{"token": "a\\r\\nX-Evil: 1"}', b'{"token": "a b"}',
        b'{"token": "\\u00e9"}', b'{"token": "' + b"x" * 70_000 + b'"}', b"[" * 100_000, b'{"token": {"a": 1}, "x": 2}',
    ],
)  # fmt: skip
def test_tokens_that_are_none(registry: FakeRegistry, client: Client, body: bytes) -> None:
    registry.on("", "^/token", lambda call: call.answer(200, body))
    Realm(registry, registry)
    with pytest.raises(Misbehaves):
        repository(client, registry, ME).manifest("1")
    assert not any("x-evil" in call.headers for call in registry.calls)


@pytest.mark.parametrize(
    "realm",
    [
        "http://192.0.2.1/token", "file:///etc/passwd", "ftp://127.0.0.1/", "http://me:pw@127.0.0.1/", "http://[::1",
        "//127.0.0.1/token", "http://127.0.0.1:99999/", "http://127.0.0.1/a b", "x" * 9000,
    ],
)  # fmt: skip
def test_realms_where_we_do_not_go(registry: FakeRegistry, client: Client, realm: str) -> None:
    where = f'Bearer realm="{realm}",service="s"'
    registry.on("", "^/v2/app", lambda call: call.refuse(401, "UNAUTHORIZED", "who?", WWW_Authenticate=where))
    with pytest.raises(Misbehaves, match=r"refused|invalid URL"):
        repository(client, registry, ME).manifest("1")


def test_a_realm_that_fails_for_a_moment(registry: FakeRegistry, client: Client) -> None:
    answers = [lambda call: call.answer(503), lambda call: call.cut()]
    for act in answers:
        registry.on("GET", "^/token", act, times=1)
    Realm(registry, registry)
    assert repository(client, registry).manifest("1")
    assert len(registry.seen("GET", "^/token")) == 3


def test_a_realm_that_redirects_gets_no_further(registry: FakeRegistry, client: Client) -> None:
    """The credentials were for the realm; what it points to is not asked at all."""
    with FakeRegistry("127.0.0.2") as elsewhere:
        registry.on("", "^/token", lambda call: call.answer(307, Location=f"http://{elsewhere.host}/token"))
        Realm(registry, registry)
        with pytest.raises(Internal, match="307"):
            repository(client, registry, ME).manifest("1")
        assert not elsewhere.calls


def test_a_login_that_is_refused(registry: FakeRegistry, client: Client) -> None:
    Realm(registry, registry)
    registry.on("", "^/v2/$", lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate='Basic realm="r"'))
    with pytest.raises(Unauthorized, match=r"login attempt to .* failed with status: 401 Unauthorized"):
        login(client, registry.host, ME)


@pytest.mark.parametrize(
    "tag", ["../../../etc", "a b", "a?x=1", "a#b", "", "-a", "x" * 129, "a\r\nX: y", "%2e%2e", "a/b", 1, None]
)
def test_tags_that_are_none(registry: FakeRegistry, client: Client, tag: Any) -> None:
    """A listed tag becomes a part of URLs and names: the list is refused, nothing is asked for by it."""
    listed = json.dumps({"name": "app", "tags": ["1", tag]}).encode()
    registry.on("GET", "/tags/list", lambda call: call.answer(200, listed))
    with pytest.raises(Invalid, match="invalid list of tags"):
        list_tags(repository(client, registry), registry.reference("app"))
    assert not registry.seen("GET", "/manifests/")


@pytest.mark.parametrize(
    "name",
    [
        "../app", "app/../x", "App", "a//b", "/a", "a/", "a b", "a%2fb", "a?b", "a#b", "a\nb", "a\x00b", "a:b:c",
        "a@sha256:1", "a@b", "user:pw@host/app", "http://host/app", "host:port/app", "host:99:99/app", "ü/app",
        "[::1/app", "x" * 256, "a" * 64, "é", "a..b", "a___b", "-a/b", "_a",
    ],
)  # fmt: skip
def test_names_that_are_none(name: str) -> None:
    if re.fullmatch("a{64}", name):
        name = "ab" * 32  # what could be an id is no name
    with pytest.raises(Invalid):
        Reference.parse(name)


@pytest.mark.parametrize("grows", [True, False])
def test_a_list_of_tags_without_end(
    registry: FakeRegistry, client: Client, monkeypatch: pytest.MonkeyPatch, grows: bool
) -> None:
    monkeypatch.setattr("wharf.transfer.tags.MAX_PAGES", 1000 if grows else 20)
    pages = iter(range(10**9))

    def page(call: Call) -> None:
        number = next(pages) if grows else 0
        listed = json.dumps({"name": "app", "tags": [f"t{number}-{tag}" for tag in range(9000)]}).encode()
        call.answer(200, listed, Link='</v2/app/tags/list?last=x>; rel="next"')

    registry.on("GET", "/tags/list", page)
    with pytest.raises(Misbehaves, match="has no end"):
        list_tags(repository(client, registry), registry.reference("app"))
    assert len(registry.seen("GET", "/tags/list")) <= 20


def test_a_list_of_tags_that_leads_away_takes_no_credentials(registry: FakeRegistry, client: Client) -> None:
    basic = 'Basic realm="r"'
    registry.on(
        "", "^/v2/app",
        lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate=basic)
        if "Authorization" not in call.headers
        else call.answer(200, b'{"tags": ["1"]}', Link=f'<http://{elsewhere.host}/v2/app/tags/list>; rel="next"'),
    )  # fmt: skip
    with FakeRegistry("127.0.0.2") as elsewhere:
        elsewhere.on("", "", lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate=basic))
        with pytest.raises(WharfError):
            list_tags(repository(client, registry, ME), registry.reference("app"))
        assert elsewhere.calls and not any("authorization" in call.headers for call in elsewhere.calls)


def index_of(entries: Any) -> Document:
    """An index as a registry sent it."""
    data = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    return Document("application/vnd.oci.image.index.v1+json", data, Digest.of(data))


@pytest.mark.parametrize(
    "entries",
    [
        {"a": 1}, "x", [1], [{}], [{"mediaType": MANIFEST, "size": 1}],
        [{"mediaType": 1, "digest": digest_of(b""), "size": 1}],
        [{"mediaType": MANIFEST, "digest": "sha256:../../x", "size": 1}],
        [{"mediaType": MANIFEST, "digest": digest_of(b""), "size": -1}],
        [{"mediaType": MANIFEST, "digest": digest_of(b""), "size": 1}] * (MAX_ENTRIES + 1),
    ],
)  # fmt: skip
def test_indexes_that_are_none(entries: Any) -> None:
    from wharf.spec.platform import Platform

    def fetch(digest: Digest) -> Document:
        raise AssertionError("nothing is fetched for it")

    with pytest.raises(Invalid):
        manifest_for(index_of(entries), Platform("linux", "amd64"), fetch)


class Bytes:
    """A blob to send."""

    def __init__(self, data: bytes) -> None:
        self.size: int | None = len(data)
        self._data = data

    def chunks(self, offset: int) -> Iterator[bytes]:
        yield self._data[offset:]

    def digest(self) -> Digest:
        return Digest.of(self._data)


LARGE = Bytes(b"0123456789" * 10_000)


def begin(registry: FakeRegistry, location: str = "/v2/app/blobs/uploads/1") -> None:
    """POST gives this location; what is sent is read."""

    def read(call: Call) -> None:
        call.rfile.read(int(call.headers.get("Content-Length") or 0))

    registry.on("POST", "uploads/", lambda call: (read(call), call.answer(202, Location=location)))


def test_an_upload_that_leads_away_takes_no_credentials(registry: FakeRegistry, client: Client) -> None:
    basic = 'Basic realm="r"'
    registry.on(
        "", "^/v2/app",
        lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate=basic)
        if "Authorization" not in call.headers
        else call.answer(202, Location=f"http://{elsewhere.host}/v2/app/blobs/uploads/1"),
    )  # fmt: skip
    with FakeRegistry("127.0.0.2") as elsewhere:
        elsewhere.on("", "", lambda call: call.refuse(401, "UNAUTHORIZED", "x", WWW_Authenticate=basic))
        with pytest.raises(WharfError):
            Uploads(repository(client, registry, ME)).send(LARGE)
        assert elsewhere.calls and not any("authorization" in call.headers for call in elsewhere.calls)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://me:pw@127.0.0.1/x", "ftp://127.0.0.1/x", ""])
def test_uploads_to_where_we_do_not_go(registry: FakeRegistry, client: Client, location: str) -> None:
    begin(registry, location)
    with pytest.raises(Misbehaves, match=r"invalid URL|has no Location"):
        Uploads(repository(client, registry)).send(LARGE)


@pytest.mark.parametrize("said", ["0-99999999", "5-9", "0-x", "", "0--5", "0-" + "9" * 30])
def test_an_upload_whose_server_lies_about_how_far_it_came(registry: FakeRegistry, client: Client, said: str) -> None:
    begin(registry)
    registry.on("PATCH", "uploads/", lambda call: call.cut())
    registry.on("GET", "uploads/", lambda call: call.answer(204, Range=said, Location=call.path))
    with pytest.raises((Misbehaves, Unreachable)):
        Uploads(repository(client, registry)).send(LARGE)


def test_an_upload_that_is_told_to_wait(registry: FakeRegistry, client: Client) -> None:
    registry.on("POST", "uploads/", lambda call: call.refuse(429, "TOOMANYREQUESTS", "slow", Retry_After="0"), times=2)
    begin(registry)
    registry.on("PATCH", "uploads/", lambda call: (call.rfile.read(int(call.headers["Content-Length"])),
                                                   call.answer(202, Location=call.path)))  # fmt: skip
    registry.on("PUT", "uploads/", lambda call: call.answer(201))
    Uploads(repository(client, registry)).send(LARGE)
    assert len(registry.seen("POST", "uploads/")) == 3


def test_an_upload_that_is_too_large_for_the_registry(registry: FakeRegistry, client: Client) -> None:
    begin(registry)
    registry.on("PATCH", "uploads/", lambda call: (call.refuse(413, "SIZE_INVALID", "too large"), call.cut()))
    with pytest.raises(Refused, match="too large"):
        Uploads(repository(client, registry)).send(LARGE)
    assert len(registry.seen("PATCH", "uploads/")) == 1


def test_a_manifest_that_is_stored_as_another(registry: FakeRegistry, client: Client) -> None:
    def put(call: Call) -> None:
        call.rfile.read(int(call.headers["Content-Length"]))
        call.answer(201, Docker_Content_Digest=digest_of(b"x"))

    registry.on("PUT", "/manifests/", put)
    with pytest.raises(Misbehaves, match="the registry stored"):
        Uploads(repository(client, registry)).put_manifest("1", Document(MANIFEST, b"{}", Digest.of(b"{}")))


def test_settings_have_sane_bounds() -> None:
    """What the tests above shorten is bounded in earnest too."""
    config = ClientConfig()
    assert 0 < config.read_timeout <= 120 and 0 < config.connect_timeout <= 60 and 0 < config.max_wait <= 120
    assert CONFIG.endswith("config.v1+json")
