"""The signature policy: who is asked for nothing, who is refused, and whose images need a right signature."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import CONFIG, INDEX, MANIFEST, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.system.registry.test_pull import FAST, nothing_is_left
from wharf.engine.registries import parse_signatures
from wharf.errors import Denied, Internal, Invalid
from wharf.registry.client.place import Client
from wharf.registry.client.repository import Repository
from wharf.spec.registry import RegistrySettings, SignatureRule
from wharf.transfer.pull import Pulled, PullOptions, pull
from wharf.transfer.signatures import ARTIFACT, MAX_SIGNATURES, NOTE, SIMPLE, TYPE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
KINDS = {"ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("-algorithm", "RSA")}


class Key:
    """A pair, made by openssl as cosign makes it."""

    def __init__(self, place: Path, name: str, kind: str = "ec") -> None:
        self.secret, self.public = place / f"{name}.key", place / f"{name}.pub"
        self._openssl("genpkey", *KINDS[kind], "-out", str(self.secret))
        self._openssl("pkey", "-in", str(self.secret), "-pubout", "-out", str(self.public))

    @staticmethod
    def _openssl(*arguments: str, feed: bytes = b"") -> bytes:
        return subprocess.run(["openssl", *arguments], input=feed, capture_output=True, check=True).stdout

    def sign(self, payload: bytes) -> str:
        """Base64, as the annotation has it."""
        return base64.b64encode(self._openssl("dgst", "-sha256", "-sign", str(self.secret), feed=payload)).decode()

    @property
    def rule(self) -> SignatureRule:
        """Signatures with this key."""
        return SignatureRule(keys=(str(self.public),))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    place = tmp_path_factory.mktemp("keys")
    return {"ours": Key(place, "ours"), "other": Key(place, "other"), "rsa": Key(place, "rsa", "rsa")}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as made:
        made.add("app", "1", [tar_of({"a": b"x"})])
        yield made


def payload(digest: str, kind: str = TYPE) -> bytes:
    """What is signed."""
    image = {"docker-manifest-digest": digest}
    critical = {"identity": {"docker-reference": ""}, "image": image, "type": kind}
    return json.dumps({"critical": critical, "optional": None}).encode()


def signature(registry: FakeRegistry, signed: list[tuple[bytes, str]]) -> bytes:
    """A manifest of signatures."""
    layers = [
        {"mediaType": SIMPLE, "digest": registry.blob(text), "size": len(text), "annotations": {NOTE: note}}
        for text, note in signed
    ]
    config = {"mediaType": CONFIG, "digest": registry.blob(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()


def subject(registry: FakeRegistry) -> str:
    """The digest of what the name stands for."""
    return digest_of(registry.manifests["app", "1"][1])


def under_tag(registry: FakeRegistry, document: bytes) -> None:
    """Where `cosign sign` puts it by default."""
    registry.put("app", subject(registry).replace(":", "-") + ".sig", MANIFEST, document)


def listed(document: bytes) -> bytes:
    """A list of referrers."""
    entry = {"mediaType": MANIFEST, "digest": digest_of(document), "size": len(document), "artifactType": ARTIFACT}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()


def as_referrer(registry: FakeRegistry, document: bytes) -> None:
    """Where `cosign sign --registry-referrers-mode=oci-1-1` puts it."""
    registry.put("app", digest_of(document), MANIFEST, document)
    data = listed(document)
    registry.on(
        "GET", f"/v2/app/referrers/{subject(registry)}", lambda call: call.answer(200, data, Content_Type=INDEX)
    )


def as_fallback(registry: FakeRegistry, document: bytes) -> None:
    """The same at a registry without the end point."""
    registry.put("app", digest_of(document), MANIFEST, document)
    registry.put("app", subject(registry).replace(":", "-"), INDEX, listed(document))


def fetch(engine: Any, registry: FakeRegistry, rule: SignatureRule) -> Pulled:
    """Pull app:1 by a rule."""
    client = Client(FAST)
    reference = registry.reference("app:1")
    try:
        options = PullOptions(signatures=rule)
        return pull(engine.images, Repository(client, reference), reference, options, lambda message: None)
    finally:
        client.close()


@pytest.mark.parametrize("put", [under_tag, as_referrer, as_fallback])
def test_a_right_signature(engine: Any, registry: FakeRegistry, keys: dict[str, Key], put: Any) -> None:
    text = payload(subject(registry))
    put(registry, signature(registry, [(text, keys["other"].sign(text)), (text, keys["ours"].sign(text))]))
    assert fetch(engine, registry, keys["ours"].rule).changed


def test_one_of_several_keys(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    text = payload(subject(registry))
    under_tag(registry, signature(registry, [(text, keys["rsa"].sign(text))]))
    assert fetch(engine, registry, SignatureRule(keys=(*keys["ours"].rule.keys, *keys["rsa"].rule.keys))).changed


def test_none(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    with pytest.raises(Denied, match=r"app:1 is refused by the signature policy: it has no signature \(sha256:"):
        fetch(engine, registry, keys["ours"].rule)
    assert nothing_is_left(engine) and not registry.seen("GET", "/blobs/")
    assert fetch(engine, registry, SignatureRule()).changed


def test_wrong_ones(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    """Another key's, of another text, of another image, of another kind, and no signatures at all."""
    ours, right = keys["ours"], payload(subject(registry))
    elsewhere, strange = payload(digest_of(b"x")), payload(subject(registry), "something else")
    wrong = [
        (right, keys["other"].sign(right)),
        (right, ours.sign(elsewhere)),
        (elsewhere, ours.sign(elsewhere)),
        (strange, ours.sign(strange)),
        (right, "AAAA"),
        (right, "not base64"),
        (b"[]", ours.sign(b"[]")),
        (b"nonsense", ours.sign(b"nonsense")),
    ]
    under_tag(registry, signature(registry, wrong))
    with pytest.raises(Denied, match="none of its 7 signatures is right"):
        fetch(engine, registry, ours.rule)
    assert nothing_is_left(engine)


def test_a_payload_that_was_changed_on_its_way(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    text = payload(subject(registry))
    under_tag(registry, signature(registry, [(text, keys["ours"].sign(text))]))
    registry.blobs[digest_of(text)] = text + b" "
    with pytest.raises(Internal, match="wrong digest"):
        fetch(engine, registry, keys["ours"].rule)


def test_too_many(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    """The right one comes after more than are looked at."""
    text = payload(subject(registry))
    many = [(b"%d" % number, "AAAA") for number in range(MAX_SIGNATURES)]
    under_tag(registry, signature(registry, [*many, (text, keys["ours"].sign(text))]))
    with pytest.raises(Denied, match=f"none of its {MAX_SIGNATURES} signatures"):
        fetch(engine, registry, keys["ours"].rule)


def test_a_key_that_is_none(engine: Any, registry: FakeRegistry, keys: dict[str, Key], tmp_path: Path) -> None:
    text = payload(subject(registry))
    under_tag(registry, signature(registry, [(text, keys["ours"].sign(text))]))
    (tmp_path / "bad.pub").write_text("nonsense")
    for path in (tmp_path / "bad.pub", tmp_path / "none.pub"):
        with pytest.raises(Internal, match=f"signature policy: the key {path}"):
            fetch(engine, registry, SignatureRule(keys=(str(path),)))


def test_a_registry_that_does_not_say_is_not_trusted(engine: Any, registry: FakeRegistry, keys: dict[str, Key]) -> None:
    registry.on("GET", "/referrers/", lambda call: call.answer(500))
    with pytest.raises(Internal, match="500"):
        fetch(engine, registry, keys["ours"].rule)
    assert nothing_is_left(engine)


def test_refused_before_anybody_is_asked(engine: Any, registry: FakeRegistry) -> None:
    with pytest.raises(Denied, match="app:1 is refused by the signature policy"):
        fetch(engine, registry, SignatureRule(refuse=True))
    assert not registry.calls


def test_whose_rule_counts() -> None:
    rules = parse_signatures(
        {"*": "refuse", "docker.io": "accept", "r.example/team": {"keys": ["/a.pub"]}, "r.example/team/open": "accept"}
    )
    settings = RegistrySettings(signatures=rules)
    for name, rule in {
        "docker.io/library/busybox": SignatureRule(),
        "r.example/team/app": SignatureRule(keys=("/a.pub",)),
        "r.example/team": SignatureRule(keys=("/a.pub",)),
        "r.example/team/open/app": SignatureRule(),
        "r.example/teams": SignatureRule(refuse=True),
        "docker.io.example/app": SignatureRule(refuse=True),
    }.items():
        assert settings.rule_for(name) == rule
    assert RegistrySettings().rule_for("docker.io/library/busybox") == SignatureRule()


@pytest.mark.parametrize(
    "policy", [{"docker.io": "yes"}, {"docker.io": {"keys": []}}, {"docker.io": {"keys": ["relative.pub"]}},
               {"docker.io": {}}, {"busybox": "refuse"}, {"http://docker.io": "refuse"}, {"": "refuse"}]
)  # fmt: skip
def test_policies_that_are_none(policy: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="signature-policy"):
        parse_signatures(policy)
