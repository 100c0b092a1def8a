"""Docker Hub by its own names, as its double answers them: with the docker and wharf command lines."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.busybox import layer_tar
from tests.support.fake_hub import LIMIT_WORDS, PROXY_PORT, FakeHub
from tests.support.fake_registry import Call, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.support.registry import ROOT
from tests.support.wharfd import Wharfd
from tests.system.registry.test_pull import FAST, fetch
from wharf.spec.reference import Reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


class Site:
    """A daemon whose only way to docker.io is the double's proxy."""

    def __init__(self, daemon: Wharfd, hub: FakeHub) -> None:
        self.daemon, self.hub = daemon, hub

    def docker(self, *arguments: str, check: bool = True, feed: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.daemon.docker(*arguments, check=check, feed=feed)

    def wharf(self, *arguments: str) -> str:
        """What the wharf command line prints."""
        environment = {**self.daemon.environment, "DOCKER_CONFIG": f"{self.daemon.root}/wharf-client"}
        done = subprocess.run(
            [str(ROOT / ".venv/bin/wharf"), *arguments], env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{arguments}: {done.stderr}\n{self.daemon.log()}"
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """What docker says of something that does not go."""
        done = self.docker(*arguments, check=False)
        assert done.returncode == 1, done.stdout
        return done.stderr


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="wharf-test-hub-") as place:
        proxy = f"http://127.0.0.1:{PROXY_PORT}"
        with Wharfd("--https-proxy", proxy, "--registry-certs", f"{place}/certs.d") as daemon:
            assert daemon.holder
            with FakeHub(Path(place), daemon.holder.pid) as hub:
                hub.users["alice"] = "alice-secret"
                hub.add("library/busybox", "latest", [layer_tar()])
                yield Site(daemon, hub)


@pytest.fixture(autouse=True)
def fresh(site: Site) -> Iterator[None]:
    site.hub.left = 100
    yield
    images = site.docker("images", "-aq").stdout.split()
    if images:
        site.docker("rmi", "-f", *set(images))


def test_a_library_name_runs(site: Site) -> None:
    digest = digest_of(site.hub.registry.manifests["library/busybox", "latest"][1])
    out = site.docker("pull", "busybox").stdout.splitlines()
    assert out[:2] == ["Using default tag: latest", "latest: Pulling from library/busybox"]
    assert out[-3:] == [
        f"Digest: {digest}", "Status: Downloaded newer image for busybox:latest", "docker.io/library/busybox:latest"
    ]  # fmt: skip
    assert site.docker("run", "--rm", "--network", "none", "busybox", "echo", "hi").stdout == "hi\n"
    shown = json.loads(site.docker("image", "inspect", "busybox").stdout)[0]
    assert shown["RepoDigests"] == [f"busybox@{digest}"] and shown["Architecture"] == "amd64"
    blobs = site.hub.store.seen("GET", "/data")
    assert blobs and not any("authorization" in call.headers for call in site.hub.store.calls)


def test_another_platform(site: Site) -> None:
    assert "docker.io/library/busybox:latest" in site.wharf("pull", "--platform", "linux/arm64", "busybox")
    assert site.docker("image", "inspect", "-f", "{{.Architecture}}", "busybox").stdout.strip() == "arm64"
    missing = site.refused("pull", "--platform", "linux/s390x", "busybox")
    assert "no matching manifest for linux/s390x in the manifest list entries" in missing


def test_the_rate_limit(site: Site) -> None:
    """An unchanged tag costs nothing; what is over the limit is told at once, in Docker Hub's words."""
    site.docker("pull", "-q", "busybox")
    site.hub.left = 0
    assert "Image is up to date for busybox:latest" in site.docker("pull", "busybox").stdout
    site.docker("rmi", "busybox")
    site.hub.registry.calls.clear()
    assert f"toomanyrequests: {LIMIT_WORDS}" in site.refused("pull", "busybox")
    assert len([call for call in site.hub.registry.seen("GET", "/manifests/") if "authorization" in call.headers]) == 1


def test_what_is_not_there_or_not_for_us(site: Site) -> None:
    words = (
        "pull access denied for {}, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied"
    )
    assert words.format("nosuch") in site.refused("pull", "nosuch")
    assert words.format("alice/app") in site.refused("pull", "alice/app")
    assert "manifest for busybox:9 not found: manifest unknown" in site.refused("pull", "busybox:9")
    site.docker("pull", "-q", "busybox")
    site.docker("tag", "busybox", "alice/app:1")
    assert "denied: requested access to the resource is denied" in site.refused("push", "alice/app:1")


def test_a_user_pushes_and_pulls(site: Site) -> None:
    wrong = site.docker("login", "-u", "alice", "--password-stdin", feed="no", check=False)
    assert wrong.returncode == 1 and "incorrect username or password" in wrong.stderr
    site.docker("login", "-u", "alice", "--password-stdin", feed="alice-secret")
    try:
        site.docker("pull", "-q", "busybox")
        site.docker("tag", "busybox", "alice/app:1")
        pushed = re.search(r"1: digest: (sha256:[0-9a-f]{64})", site.docker("push", "alice/app:1").stdout)
        assert pushed and ("alice/app", pushed[1]) in site.hub.registry.manifests
        image = site.docker("image", "inspect", "-f", "{{.Id}}", "alice/app:1").stdout
        site.docker("rmi", "-f", image.strip())
        site.docker("pull", "-q", "alice/app:1")
        assert site.docker("image", "inspect", "-f", "{{.Id}}", "alice/app:1").stdout == image
    finally:
        site.docker("logout")
    assert not any("authorization" in call.headers for call in site.hub.store.calls)


def test_a_cut_is_taken_up_at_the_blob_store(site: Site) -> None:
    layer = json.loads(site.hub.registry.manifests["library/busybox", "latest"][1])["manifests"][0]["digest"]
    layer = json.loads(site.hub.registry.manifests["library/busybox", layer][1])["layers"][0]["digest"]
    data = site.hub.registry.blobs[layer]

    def cut(call: Call) -> None:
        call.head(200, Content_Length=str(len(data)))
        call.wfile.write(data[:1000])
        call.cut()

    site.hub.store.on("GET", layer, cut, times=1)
    site.hub.store.rules.insert(0, site.hub.store.rules.pop())
    site.hub.store.calls.clear()
    site.docker("pull", "-q", "busybox")
    assert [call.headers.get("range") for call in site.hub.store.seen("GET", layer)] == [None, "bytes=1000-"]


def test_a_search(site: Site) -> None:
    site.hub.found = [
        {"name": "busybox", "description": "tools", "star_count": 3000, "is_official": True},
        {"name": "me/busybox", "description": "mine", "star_count": 2, "is_official": False},
        {"name": "nginx", "description": "web", "star_count": 9000, "is_official": True},
    ]
    for out in (site.docker("search", "busybox").stdout, site.wharf("search", "busybox")):
        lines = [line.split() for line in out.splitlines()]
        assert lines[0] == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
        assert lines[1:] == [["busybox", "tools", "3000", "[OK]"], ["me/busybox", "mine", "2"]]
    few = site.docker("search", "--filter", "stars=100", "--format", "{{.Name}}", "busybox").stdout
    assert few.split() == ["busybox"]
    assert site.docker("search", "--limit", "1", "--format", "{{.Name}}", "busybox").stdout.split() == ["busybox"]


def test_a_mirror_of_docker_io(tmp_path: Path) -> None:
    """Asked first, by plain names; nobody else is asked when it has everything."""
    with FakeRegistry() as mirror, image_engine(tmp_path) as engine:
        mirror.add("library/app", "1", [tar_of({"a": b"x"})])
        config = replace(FAST, mirrors={"docker.io": (f"http://{mirror.host}",)})
        assert fetch(engine, Reference.parse("app:1"), config=config).changed
        assert [name.familiar() for name in engine.images.all()[0].names if name.tag] == ["app:1"]
        assert mirror.seen("GET", "^/v2/library/app/manifests/1")
