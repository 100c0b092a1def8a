"""Each client's images pulled by each other client, through each registry: the digests are equal.

pushed by   docker, wharf (one daemon), skopeo, podman
pulled by   docker (another daemon), wharf, skopeo, podman
through     ours; docker-registry; docker-registry with htpasswd over TLS; ours with tokens over TLS
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
    secure: bool
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

    def skopeo(self, verb: str, *words: str, secure: bool, sides: tuple[str, ...]) -> str:
        """skopeo, with the authority and the user where they are needed."""
        for side in sides:
            flags = [f"--{side}cert-dir={self.base}/ca", f"--{side}creds={USER}:{PASSWORD}"]
            words = (*(flags if secure else [f"--{side}tls-verify=false"]), *words)
        return self.run("skopeo", verb, *words)

    def podman(self, verb: str, *words: str, place: Place | None = None, store: str = "podman") -> str:
        """podman with a storage of its own, in a mount namespace of its own."""
        flags: list[str] = []
        if place:
            flags = ["--cert-dir", f"{self.base}/ca", "--creds", f"{USER}:{PASSWORD}"] if place.secure else []
            flags = flags or ["--tls-verify=false"]
        storage = ["--root", f"{self.base}/{store}", "--runroot", f"{self.base}/{store}-run", "--storage-driver", "vfs"]
        own = ["unshare", "-m", "--propagation", "private", peer("podman"), *storage]
        own += ["--events-backend", "none", "--conmon", peer("conmon"), "--cgroup-manager", "cgroupfs"]
        return self.run(*own, verb, *flags, *words, **peer_environment())

    def digest(self, place: Place, name: str) -> str:
        """Of the manifest that the registry has."""
        where = f"docker://{place.host}/{name}"
        shown = self.skopeo("inspect", "--format", "{{.Digest}}", where, secure=place.secure, sides=("",))
        return shown.strip()


def push_docker(lab: Lab, place: Place, name: str) -> None:
    lab.one.docker("tag", "made:1", f"{place.host}/{name}")
    lab.one.docker("push", "-q", f"{place.host}/{name}")


def push_wharf(lab: Lab, place: Place, name: str) -> None:
    lab.wharf("tag", "made:1", f"{place.host}/{name}", daemon=lab.one)
    lab.wharf("push", "-q", f"{place.host}/{name}", daemon=lab.one)


def push_skopeo(lab: Lab, place: Place, name: str) -> None:
    where = f"docker://{place.host}/{name}"
    lab.skopeo("copy", f"docker-archive:{lab.archive}", where, secure=place.secure, sides=("dest-",))


def push_podman(lab: Lab, place: Place, name: str) -> None:
    lab.podman("push", "made:1", f"docker://{place.host}/{name}", place=place)


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
    lab.skopeo("copy", where, f"dir:{target}", secure=place.secure, sides=("src-",))
    manifest = (target / "manifest.json").read_bytes()
    shutil.rmtree(target)
    return lab.digest(place, name), json.loads(manifest)["config"]["digest"]


def pull_podman(lab: Lab, place: Place, name: str) -> tuple[str, str]:
    whole = f"{place.host}/{name}"
    image = lab.podman("pull", "-q", f"docker://{whole}", place=place, store="puller").strip()
    digest = lab.podman("image", "inspect", "--format", "{{.Digest}}", whole, store="puller").strip()
    lab.podman("rmi", whole, store="puller")
    return digest, f"sha256:{image.removeprefix('sha256:')}"


PUSHERS: dict[str, Callable[[Lab, Place, str], None]] = {
    "docker": push_docker, "wharf": push_wharf, "skopeo": push_skopeo, "podman": push_podman
}  # fmt: skip
PULLERS: dict[str, Callable[[Lab, Place, str], tuple[str, str]]] = {
    "docker": pull_docker, "wharf": pull_wharf, "skopeo": pull_skopeo, "podman": pull_podman
}  # fmt: skip
CASES = [
    *((kind, pusher) for kind in ("ours", "docker-registry") for pusher in PUSHERS),
    *((kind, pusher) for kind in ("ours-tls", "docker-registry-tls") for pusher in ("docker", "wharf")),
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
        other = stack.enter_context(Neighbour(one, *flags))
        lab = Lab(base, one, other)
        (base / "htpasswd").write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
        tls = f", tls: {{certificate: '{certificate}', key: '{key}'}}"
        auth = f"auth: {{htpasswd: {{realm: test, path: '{base}/htpasswd'}}}}\n"
        secure = Registry("--auth", "token", "--tls-cert", str(certificate), "--tls-key", str(key), enter=one.enter)
        secure.run("user", "add", USER, feed=f"{PASSWORD}\n")
        registries = {
            "ours": Registry(enter=one.enter),
            "docker-registry": DockerRegistry(enter=one.enter),
            "docker-registry-tls": DockerRegistry(auth, enter=one.enter, http=tls),
            "ours-tls": secure,
        }
        for kind, registry in registries.items():
            stack.enter_context(registry)
            place = lab.places[kind] = Place(registry.host, kind.endswith("-tls"))
            if place.secure:
                authority.trusted_for(base / "certs.d", registry.host)
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
    lab.skopeo("delete", f"docker://{place.host}/{name}", secure=place.secure, sides=("",))
    gone = lab.other.docker("pull", f"{place.host}/{name}", check=False)
    assert gone.returncode == 1 and f"manifest for {place.host}/{name} not found: manifest unknown" in gone.stderr


def test_a_wrong_password(lab: Lab) -> None:
    for kind in ("docker-registry-tls", "ours-tls"):
        host = lab.places[kind].host
        wrong = lab.other.docker("login", "-u", USER, "--password-stdin", host, feed="no", check=False)
        assert wrong.returncode == 1 and "unauthorized" in wrong.stderr.lower(), wrong.stderr
