"""The signature policy: who is asked for nothing, who is refused, and whose images need a right signature."""

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import CONFIG, INDEX, MANIFEST, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd
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


class Signed:
    """A daemon, a registry beside it with `signed:1`, `stranger:1` and `plain:1`, and its settings."""

    def __init__(self, daemon: Wharfd, registry: Registry, settings: Path, keys: dict[str, Key]) -> None:
        self.daemon, self.registry, self.settings = daemon, registry, settings
        for name, key in (("signed", keys["ours"]), ("stranger", keys["other"]), ("plain", None)):
            # Of one layer, and a config of its own: a signature is of one image.
            daemon.docker("create", "--name", name, "--network", "none", "busybox", "echo", name)
            daemon.docker("commit", name, self.named(name))
            daemon.docker("rm", name)
            daemon.docker("push", self.named(name))
            digest = daemon.docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", self.named(name)).stdout
            if key is not None:
                self._sign(name, digest.strip().partition("@")[2], key)
            daemon.docker("rmi", self.named(name))

    def named(self, name: str) -> str:
        return f"{self.registry.host}/team/{name}:1"

    def _sign(self, name: str, digest: str, key: Key) -> None:
        """What `cosign sign --key` leaves at a registry."""
        text = payload(digest)
        layer = {"mediaType": SIMPLE, "digest": digest_of(text), "size": len(text),
                 "annotations": {NOTE: key.sign(text)}}  # fmt: skip
        config = {"mediaType": CONFIG, "digest": digest_of(b"{}"), "size": 2}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        for blob in (text, b"{}"):
            self._send("POST", f"{name}/blobs/uploads/?digest={digest_of(blob)}", blob, "application/octet-stream")
        where = f"{name}/manifests/{digest.replace(':', '-')}.sig"
        self._send("PUT", where, json.dumps(document).encode(), MANIFEST)

    def _send(self, method: str, path: str, data: bytes, media: str) -> None:
        command = ["curl", "-sf", "-X", method, "-H", f"Content-Type: {media}", "--data-binary", "@-"]
        url = f"http://{self.registry.host}/v2/team/{path}"
        subprocess.run([*self.daemon.enter, *command, url], input=data, capture_output=True, check=True)

    def policy(self, rules: dict[str, Any], refused: str) -> None:
        """Put the policy in force; it is when it refuses what it shall refuse."""
        assert self.daemon.process
        self.settings.write_text(json.dumps({"signature-policy": rules}))
        os.kill(self.daemon.process.pid, signal.SIGHUP)
        deadline = time.monotonic() + 30
        while "signature policy" not in (said := self.daemon.docker("pull", refused, check=False).stderr):
            assert time.monotonic() < deadline, said
            self.daemon.docker("rmi", refused, check=False)


def test_a_daemon_by_its_policy(keys: dict[str, Key], tmp_path: Path) -> None:
    """daemon.json, SIGHUP, and what docker pull, run and build are told; wharf the same."""
    settings = tmp_path / "daemon.json"
    settings.write_text("{}")
    with Wharfd("--config-file", str(settings)) as daemon, Registry(enter=daemon.enter) as registry:
        daemon.load_busybox()
        site = Signed(daemon, registry, settings, keys)
        signed, stranger, plain = (site.named(name) for name in ("signed", "stranger", "plain"))
        site.policy({"*": "refuse", registry.host: {"keys": [str(keys["ours"].public)]}}, plain)
        words = f"pull of {plain} is refused by the signature policy: it has no signature"
        (tmp_path / "Dockerfile").write_text(f"FROM {plain}\n")
        daemon.environment["DOCKER_BUILDKIT"] = "0"
        for arguments, status in ((("run", "--rm", plain), 125), (("build", "-q", str(tmp_path)), 1)):
            out = daemon.docker(*arguments, check=False)
            assert (out.returncode, words in out.stderr) == (status, True), out.stderr
        assert "none of its 1 signatures is right" in daemon.docker("pull", stranger, check=False).stderr
        elsewhere = daemon.docker("pull", "nowhere.example/app:1", check=False)
        assert "pull of nowhere.example/app:1 is refused by the signature policy" in elsewhere.stderr
        assert daemon.docker("run", "--rm", "--network", "none", signed).stdout == "signed\n"
        assert daemon.docker("run", "--rm", "--network", "none", "busybox", "echo", "here").stdout == "here\n"
        daemon.docker("rmi", signed)
        wharf = [str(ROOT / ".venv/bin/wharf")]
        done = subprocess.run([*wharf, "pull", "-q", plain], env=daemon.environment, capture_output=True, check=False)
        assert done.returncode == 1 and words.encode() in done.stderr
        subprocess.run([*wharf, "pull", "-q", signed], env=daemon.environment, capture_output=True, check=True)
        site.policy({f"{registry.host}/team/signed": "refuse"}, signed)
        assert daemon.docker("run", "--rm", "--network", "none", plain).stdout == "plain\n"
