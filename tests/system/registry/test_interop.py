"""Each client's images pulled by each other client, through each registry: the digests are equal.

pushed by   docker, wharf (one daemon), skopeo, podman
pulled by   docker (another daemon), wharf, skopeo, podman
through     ours; docker-registry; docker-registry with htpasswd; the same over TLS; ours with tokens over TLS
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import pytest

from tests.support.authority import Authority
from tests.support.busybox import docker_archive
from tests.support.fake_registry import tar_of
from tests.support.registry import ROOT, DockerRegistry, Registry
from tests.support.wharfd import Wharfd
from tests.system.images.test_several_platforms import INDEX, Layout
from tests.system.oci.lab import peer, peer_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
USER, PASSWORD = "alice", "alice-secret"


class Neighbour(Wharfd):
    """Another daemon in the network namespace of a first one."""

    def __init__(self, first: Wharfd, *flags: str) -> None:
        super().__init__("--bip", "172.29.0.1/24", *flags, own_network=False)
        self._first = first

    @property
    def enter(self) -> list[str]:
        """As the first one's."""
        return self._first.enter


@dataclass
class Place:
    """A registry as the clients see it."""

    host: str
    secure: bool = False
    """Over TLS."""
    login: bool = False
    """Only for USER."""
    digests: dict[str, str] = field(default_factory=dict)


class Lab:
    """Two daemons, the clients, and what they share."""

    def __init__(self, base: Path, one: Wharfd, other: Wharfd) -> None:
        self.base, self.one, self.other = base, one, other
        self.archive = base / "image.tar"
        self.archive.write_bytes(docker_archive("made:1", [tar_of({"a": os.urandom(200_000)}), tar_of({"b": b"x"})]))
        self.places: dict[str, Place] = {}
        config = json.loads(subprocess.run(["tar", "-xOf", str(self.archive), "manifest.json"], capture_output=True,
                                           check=True).stdout)[0]["Config"]  # fmt: skip
        self.image = "sha256:" + re.sub(r"^blobs/sha256/|\.json$", "", config)

    def run(self, *words: str, **more: str) -> str:
        """Any command in the daemons' network; raises AssertionError with its words."""
        environment = {**os.environ, **more}
        done = subprocess.run([*self.one.enter, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stderr}\n{self.one.log()[-2000:]}"
        return done.stdout

    def wharf(self, *words: str, daemon: Wharfd) -> str:
        """The wharf command line."""
        return self.run(str(ROOT / ".venv/bin/wharf"), *words, **{
            name: daemon.environment[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG")
        })  # fmt: skip

    def skopeo(self, verb: str, *words: str, place: Place, side: str = "") -> str:
        """skopeo, with the authority and the user where they are needed."""
        trust = f"--{side}cert-dir={self.base}/ca" if place.secure else f"--{side}tls-verify=false"
        words = (trust, *([f"--{side}creds={USER}:{PASSWORD}"] if place.login else ()), *words)
        return self.run("skopeo", verb, *words)

    def podman(self, verb: str, *words: str, place: Place | None = None, store: str = "podman") -> str:
        """podman with a storage of its own, in a mount namespace of its own."""
        flags: list[str] = []
        if place:
            flags = ["--cert-dir", f"{self.base}/ca"] if place.secure else ["--tls-verify=false"]
            flags += ["--creds", f"{USER}:{PASSWORD}"] if place.login else []
        storage = ["--root", f"{self.base}/{store}", "--runroot", f"{self.base}/{store}-run", "--storage-driver", "vfs"]
        own = ["unshare", "-m", "--propagation", "private", peer("podman"), *storage]
        own += ["--events-backend", "none", "--conmon", peer("conmon"), "--cgroup-manager", "cgroupfs"]
        return self.run(*own, verb, *flags, *words, **peer_environment())

    def digest(self, place: Place, name: str) -> str:
        """Of the manifest that the registry has."""
        where = f"docker://{place.host}/{name}"
        shown = self.skopeo("inspect", "--format", "{{.Digest}}", where, place=place)
        return shown.strip()


def push_docker(lab: Lab, place: Place, name: str, image: str = "made:1") -> None:
    lab.one.docker("tag", image, f"{place.host}/{name}")
    lab.one.docker("push", "-q", f"{place.host}/{name}")


def push_wharf(lab: Lab, place: Place, name: str, image: str = "made:1") -> None:
    lab.wharf("tag", image, f"{place.host}/{name}", daemon=lab.one)
    lab.wharf("push", "-q", f"{place.host}/{name}", daemon=lab.one)


def push_skopeo(lab: Lab, place: Place, name: str, image: str = "made:1") -> None:
    where = f"docker://{place.host}/{name}"
    lab.skopeo("copy", f"docker-archive:{lab.archive}", where, place=place, side="dest-")


def push_podman(lab: Lab, place: Place, name: str, image: str = "made:1") -> None:
    lab.podman("push", image, f"docker://{place.host}/{name}", place=place)


def pull_docker(lab: Lab, place: Place, name: str) -> tuple[str, str]:
    whole = f"{place.host}/{name}"
    lab.other.docker("pull", "-q", whole)
    shown = json.loads(lab.other.docker("image", "inspect", whole).stdout)[0]
    lab.other.docker("rmi", whole)
    return next(item for item in shown["RepoDigests"] if item.startswith(whole[:-2])).partition("@")[2], shown["Id"]


def pull_wharf(lab: Lab, place: Place, name: str) -> tuple[str, str]:
    whole = f"{place.host}/{name}"
    lab.wharf("pull", "-q", whole, daemon=lab.other)
    shown = json.loads(lab.wharf("image", "inspect", whole, daemon=lab.other))[0]
    lab.wharf("rmi", whole, daemon=lab.other)
    return next(item for item in shown["RepoDigests"] if item.startswith(whole[:-2])).partition("@")[2], shown["Id"]


def pull_skopeo(lab: Lab, place: Place, name: str) -> tuple[str, str]:
    target = lab.base / "pulled"
    where = f"docker://{place.host}/{name}"
    lab.skopeo("copy", where, f"dir:{target}", place=place, side="src-")
    manifest = (target / "manifest.json").read_bytes()
    shutil.rmtree(target)
    return lab.digest(place, name), json.loads(manifest)["config"]["digest"]


def pull_podman(lab: Lab, place: Place, name: str) -> tuple[str, str]:
    whole = f"{place.host}/{name}"
    image = lab.podman("pull", "-q", f"docker://{whole}", place=place, store="puller").strip()
    digest = lab.podman("image", "inspect", "--format", "{{.Digest}}", whole, store="puller").strip()
    lab.podman("rmi", whole, store="puller")
    return digest, f"sha256:{image.removeprefix('sha256:')}"


PUSHERS: dict[str, Callable[..., None]] = {
    "docker": push_docker, "wharf": push_wharf, "skopeo": push_skopeo, "podman": push_podman
}  # fmt: skip
PULLERS: dict[str, Callable[[Lab, Place, str], tuple[str, str]]] = {
    "docker": pull_docker, "wharf": pull_wharf, "skopeo": pull_skopeo, "podman": pull_podman
}  # fmt: skip
MIRRORED = ("ours", "docker-registry")
"""They are mirrors of a domain as well, which nobody else answers for."""
CASES = [
    *((kind, pusher) for kind in ("ours", "docker-registry") for pusher in PUSHERS),
    *(
        (kind, pusher)
        for kind in ("docker-registry-login", "docker-registry-login-tls")
        for pusher in ("docker", "wharf")
    ),
    *(("ours-login-tls", pusher) for pusher in PUSHERS),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="wharf-test-interop-") as text, ExitStack() as stack:
        base = Path(text)
        (base / "ca").mkdir()
        authority = Authority(base)
        shutil.copy(authority.ca, base / "ca/ca.crt")
        certificate, key = authority.issue("registry", "127.0.0.1")
        flags = ("--registry-certs", f"{base}/certs.d")
        one = stack.enter_context(Wharfd(*flags))
        (base / "htpasswd").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
        tls = f", tls: {{certificate: '{certificate}', key: '{key}'}}"
        auth = f"auth: {{htpasswd: {{realm: test, path: '{base}/htpasswd'}}}}\n"
        secure = Registry("--auth", "token", "--tls-cert", str(certificate), "--tls-key", str(key), enter=one.enter)
        secure.run("user", "add", USER, feed=f"{PASSWORD}\n")
        registries = {
            "ours": Registry(enter=one.enter),
            "docker-registry": DockerRegistry(enter=one.enter),
            "docker-registry-login": DockerRegistry(auth, enter=one.enter),
            "docker-registry-login-tls": DockerRegistry(auth, enter=one.enter, http=tls),
            "ours-login-tls": secure,
        }
        for registry in registries.values():
            stack.enter_context(registry)
        for kind in MIRRORED:
            flags += ("--registry-mirror", f"{kind}.example=http://{registries[kind].host}")
        other = stack.enter_context(Neighbour(one, *flags))
        lab = Lab(base, one, other)
        for kind, registry in registries.items():
            place = lab.places[kind] = Place(registry.host, secure=kind.endswith("-tls"), login="-login" in kind)
            if place.secure:
                authority.trusted_for(base / "certs.d", registry.host)
            if place.login:
                for daemon in (one, other):
                    daemon.docker("login", "-u", USER, "--password-stdin", registry.host, feed=PASSWORD)
        one.docker("load", "-q", "-i", str(lab.archive))
        lab.podman("load", "-q", "-i", str(lab.archive))
        yield lab


@pytest.mark.parametrize(("kind", "pusher"), CASES)
def test_pushed_by_one_pulled_by_all(lab: Lab, kind: str, pusher: str) -> None:
    place, name = lab.places[kind], f"{USER}/by-{pusher}:1"
    PUSHERS[pusher](lab, place, name)
    digest = lab.digest(place, name)
    for client, pull in PULLERS.items():
        assert pull(lab, place, name) == (digest, lab.image), client
    lab.skopeo("delete", f"docker://{place.host}/{name}", place=place)
    gone = lab.other.docker("pull", f"{place.host}/{name}", check=False)
    assert gone.returncode == 1 and f"manifest for {place.host}/{name} not found: manifest unknown" in gone.stderr


@pytest.mark.parametrize(("kind", "pusher"), [("ours", "docker"), ("ours", "skopeo"), ("docker-registry", "wharf")])
def test_a_platform_is_chosen_by_all(lab: Lab, layout: tuple[Path, dict[str, str]], kind: str, pusher: str) -> None:
    """An index of two platforms and an attestation goes out whole, and each client takes the platform that is asked."""
    place, name = lab.places[kind], f"{USER}/two-by-{pusher}:1"
    path, images = layout
    if pusher == "skopeo":
        where = f"docker://{place.host}/{name}"
        lab.skopeo("copy", "--all", f"oci:{path}:two", where, place=place, side="dest-")
    else:
        PUSHERS[pusher](lab, place, name, "two:1")
    raw = lab.skopeo("inspect", "--raw", f"docker://{place.host}/{name}", place=place)
    assert len(json.loads(raw)["manifests"]) == 3
    whole = f"{place.host}/{name}"
    for architecture, image in images.items():
        platform = f"linux/{architecture}"
        lab.other.docker("pull", "-q", "--platform", platform, whole)
        assert lab.other.docker("image", "inspect", "-f", "{{.Id}}", whole).stdout.strip() == image
        lab.other.docker("rmi", whole)
        lab.wharf("pull", "-q", "--platform", platform, whole, daemon=lab.other)
        assert lab.wharf("image", "inspect", "-f", "{{.Id}}", whole, daemon=lab.other).strip() == image
        lab.other.docker("rmi", whole)
        target = lab.base / f"chosen-{architecture}"
        words = (f"docker://{whole}", f"dir:{target}")
        lab.run("skopeo", f"--override-arch={architecture}", "copy", "--src-tls-verify=false", *words)
        assert json.loads((target / "manifest.json").read_bytes())["config"]["digest"] == image
        shutil.rmtree(target)
        found = lab.podman("pull", "-q", "--platform", platform, f"docker://{whole}", place=place, store="puller")
        assert f"sha256:{found.strip().removeprefix('sha256:')}" == image
        lab.podman("rmi", whole, store="puller")


@pytest.fixture(scope="module")
def layout(lab: Lab) -> tuple[Path, dict[str, str]]:
    """A layout with an index of two platforms and an attestation, here as `two:1` too; the images by architecture."""
    made = Layout()
    entries = [made.image("amd64"), made.image("arm64")]
    index = made.document({"mediaType": INDEX, "manifests": [*entries, made.attestation(entries[0])]})
    path = lab.base / "two"
    (path / "blobs/sha256").mkdir(parents=True)
    for digest, data in made.blobs.items():
        (path / "blobs/sha256" / digest[7:]).write_bytes(data)
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    names = {"org.opencontainers.image.ref.name": "two", "io.containerd.image.name": "docker.io/library/two:1"}
    top = {"schemaVersion": 2, "manifests": [{**index, "annotations": names}]}
    (path / "index.json").write_text(json.dumps(top))
    subprocess.run(["tar", "-C", str(path), "-cf", f"{path}.tar", "."], check=True)
    lab.one.docker("load", "-q", "-i", f"{path}.tar")
    configs = [json.loads(made.blobs[entry["digest"]])["config"]["digest"] for entry in entries]
    return path, dict(zip(("amd64", "arm64"), configs, strict=True))


@pytest.mark.parametrize("kind", MIRRORED)
def test_a_mirror_of_any_domain(lab: Lab, kind: str) -> None:
    """Nobody but the mirror has heard of the domain: docker and wharf pull by it, by tag and by digest."""
    place, name = lab.places[kind], f"{USER}/mirrored:1"
    push_docker(lab, place, name)
    whole, digest = f"{kind}.example/{name}", lab.digest(place, name)
    for pull in (pull_docker, pull_wharf):
        assert pull(lab, Place(f"{kind}.example"), name) == (digest, lab.image)
    lab.other.docker("pull", "-q", f"{whole[:-2]}@{digest}")
    lab.other.docker("rmi", f"{whole[:-2]}@{digest}")
    missing = lab.other.docker("pull", f"{kind}.example/{USER}/none:1", check=False)
    assert missing.returncode == 1 and f'Get "https://{kind}.example' in missing.stderr


def test_a_wrong_password(lab: Lab) -> None:
    for kind in ("docker-registry-login", "docker-registry-login-tls", "ours-login-tls"):
        host = lab.places[kind].host
        wrong = lab.other.docker("login", "-u", USER, "--password-stdin", host, feed="no", check=False)
        assert wrong.returncode == 1 and "unauthorized" in wrong.stderr.lower(), wrong.stderr
