"""Referrers beside an image: pulled, kept, pushed and gone with it; a signature that travels satisfies the policy."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import CONFIG, INDEX, MANIFEST, Call, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.support.registry import Http, Registry
from tests.support.wharfd import ROOT, Wharfd
from tests.system.registry.test_platforms import everything, indexed, sweep
from tests.system.registry.test_pull import FAST, nothing_is_left
from tests.system.registry.test_signatures import Key, payload, signature, subject, under_tag
from wharf.engine.image_delete import delete_image
from wharf.engine.image_tag import tag_image
from wharf.errors import Denied, Invalid, WharfError
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.spec.reference import Reference
from wharf.spec.registry import SignatureRule
from wharf.transfer.pull import Pulled, PullOptions, pull
from wharf.transfer.push import push
from wharf.transfer.referrers import MAX_REFERRERS

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SBOM, SIGNED = "application/spdx+json", "application/vnd.example.signature"
PAGE = 2
"""Of a list, as a registry gives it."""
PAGES = re.compile(r"/v2/app/referrers/(sha256:[0-9a-f]{64})")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path / "one") as made:
        yield made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path / "two") as made:
        yield made


@pytest.fixture
def source() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        made.add("app", "1", [tar_of({"a": b"x"})])
        made.on("GET", "/referrers/", lambda call: listing(made, call))
        yield made


def listing(registry: FakeRegistry, call: Call) -> None:
    """end-12: every manifest whose subject was asked for."""
    found = PAGES.match(call.path)
    entries = [
        {"mediaType": media, "digest": reference, "size": len(data)}
        for (_, reference), (media, data) in registry.manifests.items()
        if reference.startswith("sha256:") and found and json.loads(data).get("subject", {}).get("digest") == found[1]
    ]
    page = int(call.path.partition("page=")[2] or 0)
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries[page * PAGE : (page + 1) * PAGE]}
    more = (
        {"Link": f'<{call.path.partition("?")[0]}?page={page + 1}>; rel="next"'} if entries[(page + 1) * PAGE :] else {}
    )
    call.answer(200, json.dumps(document).encode(), Content_Type=INDEX, **more)


def refer(registry: FakeRegistry, about: str, kind: str, text: bytes) -> str:
    """A document of one blob about another; its digest."""
    blob = {"mediaType": kind, "digest": registry.blob(text), "size": len(text)}
    config = {"mediaType": CONFIG, "digest": registry.blob(b"{}"), "size": 2}
    known = registry.manifests["app", about][1]
    document = json.dumps(
        {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": config, "layers": [blob],
            "subject": {"mediaType": MANIFEST, "digest": about, "size": len(known)}, "annotations": {"by": "us"},
        }
    ).encode()  # fmt: skip
    registry.put("app", digest_of(document), MANIFEST, document)
    return digest_of(document)


def fetch(engine: Any, reference: Reference, *, rule: SignatureRule | None = None, **more: bool) -> Pulled:
    client = Client(FAST)
    try:
        options = PullOptions(signatures=rule or SignatureRule(), **{"referrers": True, **more})
        return pull(engine.images, Repository(client, reference), reference, options, lambda message: None)
    finally:
        client.close()


def send(engine: Any, reference: Reference, *, referrers: bool = True) -> None:
    client = Client(FAST)
    try:
        repository = Repository(client, reference)
        push(engine.images, repository, reference, lambda message: None, referrers=referrers)
    finally:
        client.close()


def test_they_come_stay_and_go_with_the_image(engine: Any, source: FakeRegistry) -> None:
    bill = refer(source, subject(source), SBOM, b'{"bill":1}')
    refer(source, bill, SIGNED, b"signed")
    source.put("app", subject(source).replace(":", "-") + ".att", MANIFEST, source.manifests["app", bill][1])
    reference = source.reference("app:1")
    assert fetch(engine, reference, referrers=False).changed
    assert len(engine.blobs()) == 3 and not source.seen("GET", "/referrers/")
    assert not fetch(engine, reference).changed  # the image is here; what refers to it is not
    sweep(engine)
    assert engine.blobs() == everything(source)
    source.forget()
    source.on("GET", "/referrers/", lambda call: listing(source, call))
    fetch(engine, reference)
    assert not source.seen("GET", "/blobs/")
    for lease in engine.database.leases.all():  # a day later
        engine.database.leases.delete(str(lease.digest))
    sweep(engine)
    assert engine.blobs() == everything(source)
    delete_image(engine, str(reference))
    sweep(engine)
    assert not engine.blobs() and not engine.database.referrers.all()


def test_a_list_of_several_pages(engine: Any, source: FakeRegistry) -> None:
    for number in range(2 * PAGE + 1):
        refer(source, subject(source), SBOM, b"%d" % number)
    fetch(engine, source.reference("app:1"))
    assert len(engine.database.referrers.get(subject(source)).documents) == 2 * PAGE + 1
    assert len([call for call in source.seen("GET", "/referrers/") if subject(source) in str(call)]) == 3


def test_a_list_without_an_end(engine: Any, source: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wharf.registry.client.repository.MAX_PAGES", 3)
    document = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    source.rules.clear()
    more = {"Link": f'</v2/app/referrers/{subject(source)}>; rel="next"'}
    source.on("GET", "/referrers/", lambda call: call.answer(200, document, Content_Type=INDEX, **more))
    with pytest.raises(WharfError, match="has no end"):
        fetch(engine, source.reference("app:1"))
    assert len(source.seen("GET", "/referrers/")) == 3 and nothing_is_left(engine)


def test_those_of_every_platform_come_with_all_of_an_index(engine: Any, source: FakeRegistry) -> None:
    indexed(source)
    top = json.loads(source.manifests["app", "1"][1])
    for about in (subject(source), *(item["digest"] for item in top["manifests"][:2])):
        refer(source, about, SIGNED, about.encode())
    fetch(engine, source.reference("app:1"), everything=True)
    old = {digest for digest, data in source.blobs.items() if b'"Cmd"' in data} - engine.blobs()
    assert len(old) == 1  # of the image that the tag stood for before
    assert len(engine.database.referrers.all()) == 3


@pytest.mark.parametrize("kind", ["wharf_registry", "docker_registry"])
def test_they_go_out_and_come_from_there(
    engine: Any, other: Any, source: FakeRegistry, name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    """To a registry that lists referrers, and to one where the client keeps the list under a tag."""
    registry: Registry = request.getfixturevalue(kind)
    bill = refer(source, subject(source), SBOM, b'{"bill":1}')
    refer(source, subject(source), SIGNED, b"image signed")
    refer(source, bill, SIGNED, b"bill signed")
    fetch(engine, source.reference("app:1"))
    target = Reference.parse(f"{registry.host}/{name}:1")
    tag_image(engine, str(source.reference("app:1")), target.name, "1")
    send(engine, target, referrers=False)
    fetch(other, target)
    assert len(other.blobs()) == 3
    for _ in range(2):
        send(engine, target)
    http = Http(registry.port)
    tags = http("GET", f"/v2/{name}/tags/list").json["tags"]
    assert len(tags) == (1 if kind == "wharf_registry" else 3)
    if kind == "docker_registry":
        tag = subject(source).replace(":", "-")
        listed = http("GET", f"/v2/{name}/manifests/{tag}", Accept=INDEX).json["manifests"]
        assert [item["artifactType"] for item in listed] == [SBOM, SIGNED]
        assert listed[0]["digest"] == bill and listed[0]["annotations"] == {"by": "us"}
    http.close()
    fetch(other, target)
    assert other.blobs() == engine.blobs() == everything(source)


def test_a_signature_that_travels_is_admitted(
    engine: Any, other: Any, source: FakeRegistry, wharf_registry: Registry, name: str, tmp_path: Path
) -> None:
    key = Key(tmp_path, "team")
    text = payload(subject(source))
    under_tag(source, signature(source, [(text, key.sign(text))]))
    fetch(engine, source.reference("app:1"), rule=key.rule)
    target = Reference.parse(f"{wharf_registry.host}/{name}:1")
    tag_image(engine, str(source.reference("app:1")), target.name, "1")
    send(engine, target, referrers=False)
    with pytest.raises(Denied, match="it has no signature"):
        fetch(other, target, rule=key.rule)
    send(engine, target)
    assert fetch(other, target, rule=key.rule).changed
    with pytest.raises(Denied, match="none of its 1 signatures is right"):
        fetch(other, target, rule=Key(tmp_path, "stranger").rule)


def test_what_does_not_say_so_refers_to_nothing(engine: Any, source: FakeRegistry) -> None:
    stranger = refer(source, refer(source, subject(source), SBOM, b"1"), SIGNED, b"2")
    entry = {"mediaType": MANIFEST, "digest": stranger, "size": len(source.manifests["app", stranger][1])}
    document = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    source.rules.clear()
    source.on("GET", "/referrers/", lambda call: call.answer(200, document, Content_Type=INDEX))
    fetch(engine, source.reference("app:1"))
    assert not engine.database.referrers.all()


def test_too_many_or_broken_ones_leave_no_name(engine: Any, source: FakeRegistry) -> None:
    broken = refer(source, subject(source), SBOM, b"bill")
    lost = json.loads(source.manifests["app", broken][1])["layers"][0]["digest"]
    source.on("GET", lost, lambda call: call.answer(404), times=1)
    with pytest.raises(WharfError):
        fetch(engine, source.reference("app:1"))
    assert nothing_is_left(engine) and not engine.database.referrers.all()
    for number in range(MAX_REFERRERS):
        refer(source, subject(source), SBOM, b"%d" % number)
    with pytest.raises(Invalid, match=f"more than {MAX_REFERRERS} documents refer to"):
        fetch(engine, source.reference("app:1"))
    assert nothing_is_left(engine) and not engine.database.referrers.all()


def test_by_the_command_line(tmp_path: Path) -> None:
    """`wharf pull --referrers`, `wharf push --referrers`: from one registry to another."""
    with Wharfd() as daemon, Registry(enter=daemon.enter) as one, Registry(enter=daemon.enter) as two:

        def ask(registry: Registry, method: str, path: str, data: str = "", media: str = "") -> str:
            body = ["-H", f"Content-Type: {media}", "--data-binary", data] if data else []
            command = [*daemon.enter, "curl", "-sf", "-X", method, *body, f"http://{registry.host}/v2/app/{path}"]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout

        def wharf(*arguments: str) -> str:
            command = [str(ROOT / ".venv/bin/wharf"), *arguments]
            return subprocess.run(
                command,
                env=daemon.environment,
                stdout=subprocess.PIPE,
                text=True,
                check=arguments[0] != "system",
                timeout=60,
            ).stdout

        daemon.load_busybox()
        daemon.docker("tag", "busybox", f"{one.host}/app:1")
        daemon.docker("push", f"{one.host}/app:1")
        image = ask(one, "GET", "manifests/1")
        ask(one, "POST", f"blobs/uploads/?digest={digest_of(b'{}')}", "{}", "application/octet-stream")
        blob = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
        about = {"mediaType": MANIFEST, "digest": digest_of(image.encode()), "size": len(image)}
        bill = {"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SBOM, "config": blob, "layers": [blob],
                "subject": about}  # fmt: skip
        ask(one, "PUT", "manifests/bill", json.dumps(bill), MANIFEST)
        wharf("pull", "--referrers", f"{one.host}/app:1")
        daemon.docker("tag", f"{one.host}/app:1", f"{two.host}/app:1")
        wharf("push", "--referrers", f"{two.host}/app:1")
        (found,) = json.loads(ask(two, "GET", f"referrers/{about['digest']}"))["manifests"]
        assert (found["digest"], found["artifactType"]) == (digest_of(json.dumps(bill).encode()), SBOM)
