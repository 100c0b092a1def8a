"""The flow of docs/flow-pull.md with the docker and wharf command lines, in the network of a daemon."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.registry import ROOT
from tests.support.wharfd import Wharfd
from wharf.cli.credentials import encoded

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
STOP_SECONDS = 60


class Site:
    """A daemon and a registry with users, both in the daemon's network namespace."""

    def __init__(self, daemon: Wharfd, base: str) -> None:
        self.daemon, self.base = daemon, base
        program = str(ROOT / ".venv/bin/wharf-registry")
        os.mkdir(f"{base}/root")
        self._run([program, "user", "--root", f"{base}/root", "add", "alice"], "alice-secret\n")
        command = [program, "serve", "--root", f"{base}/root", "--addr", "127.0.0.1:0", "--auth", "token"]
        self.process = subprocess.Popen([*daemon.enter, *command], stderr=subprocess.PIPE, text=True)
        self.host, self._listens = "", threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listens.wait(STOP_SECONDS) and self.host, "the registry did not start"

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                if found := re.search(r"listens on (127\.0\.0\.1:\d+)", line):
                    self.host = found[1]
                    self._listens.set()
        self._listens.set()

    @staticmethod
    def _run(command: list[str], feed: str = "") -> None:
        done = subprocess.run(command, input=feed, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def wharf(self, *arguments: str, feed: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The wharf command line; raises AssertionError with its words when it fails."""
        done = subprocess.run(
            [str(ROOT / ".venv/bin/wharf"), *arguments],
            env={**os.environ, "DOCKER_HOST": self.daemon.host, "DOCKER_CONFIG": f"{self.base}/client"},
            input=feed,
            stdin=None if feed is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr}\n{self.daemon.log()}"
        return done

    def close(self) -> None:
        """End the registry."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)
        self._reader.join()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    base = tempfile.mkdtemp(prefix="wharf-test-registry-", dir="/dev/shm")
    try:
        with Wharfd() as daemon:
            daemon.load_busybox()
            made = Site(daemon, base)
            try:
                made.daemon.docker("login", "-u", "alice", "--password-stdin", made.host, feed="alice-secret")
                yield made
            finally:
                made.close()
    finally:
        shutil.rmtree(base, ignore_errors=True)


def push(site: Site, name: str) -> str:
    """busybox under a name of the registry; the whole name."""
    whole = f"{site.host}/{name}"
    site.daemon.docker("tag", "busybox:latest", whole)
    site.daemon.docker("push", whole)
    return whole


def test_docker_pushes_and_pulls(site: Site) -> None:
    docker = site.daemon.docker
    whole = push(site, "alice/app:1")
    image = docker("image", "inspect", "-f", "{{.Id}} {{json .RepoDigests}}", whole).stdout
    digest = json.loads(image.partition(" ")[2])[0].partition("@")[2]
    assert docker("push", whole).stdout.splitlines()[-1].startswith(f"1: digest: {digest} size: ")
    docker("rmi", whole)
    out = docker("pull", whole).stdout.splitlines()
    assert out[0] == "1: Pulling from alice/app"
    assert out[-3:] == [f"Digest: {digest}", f"Status: Downloaded newer image for {whole}", whole]
    assert docker("image", "inspect", "-f", "{{.Id}}", whole).stdout.strip() == image.partition(" ")[0]
    assert f"Status: Image is up to date for {whole}" in docker("pull", whole).stdout
    docker("pull", "-q", f"{site.host}/alice/app@{digest}")


def test_a_run_pulls_what_is_missing(site: Site) -> None:
    whole = push(site, "alice/run:1")
    site.daemon.docker("rmi", whole)
    out = site.daemon.docker("run", "--rm", "--network", "none", whole, "echo", "here")
    assert out.stdout == "here\n"
    assert f"Unable to find image '{whole}' locally" in out.stderr
    site.daemon.docker("rmi", whole)


def test_a_build_pulls_what_is_missing(site: Site, tmp_path: Path) -> None:
    whole = push(site, "alice/base:1")
    site.daemon.docker("rmi", whole)
    (tmp_path / "Dockerfile").write_text(f"FROM {whole}\nLABEL a=b\n")
    site.daemon.environment["DOCKER_BUILDKIT"] = "0"
    try:
        out = site.daemon.docker("build", "-t", "built:1", str(tmp_path)).stdout
        assert f"Status: Downloaded newer image for {whole}" in out
        again = site.daemon.docker("build", "--pull", "-t", "built:1", str(tmp_path)).stdout
        assert f"Status: Image is up to date for {whole}" in again
    finally:
        del site.daemon.environment["DOCKER_BUILDKIT"]
    site.daemon.docker("rmi", "built:1", whole)


def test_who_is_nobody(site: Site) -> None:
    whole = push(site, "alice/private:1")
    site.daemon.docker("logout", site.host)
    try:
        site.daemon.docker("rmi", whole)
        refused = site.daemon.docker("pull", whole, check=False)
        assert refused.returncode == 1 and re.search("denied|unauthorized", refused.stderr), refused.stderr
        site.daemon.docker("tag", "busybox:latest", whole)
        refused = site.daemon.docker("push", whole, check=False)
        assert refused.returncode == 1 and re.search("denied|unauthorized", refused.stderr), refused.stderr
        wrong = site.daemon.docker("login", "-u", "alice", "--password-stdin", site.host, feed="no", check=False)
        assert wrong.returncode == 1 and "unauthorized" in wrong.stderr.lower(), wrong.stderr
    finally:
        site.daemon.docker("login", "-u", "alice", "--password-stdin", site.host, feed="alice-secret")
        site.daemon.docker("rmi", whole, check=False)


def test_what_is_not_there(site: Site) -> None:
    repository, whole = f"{site.host}/alice/none", f"{site.host}/alice/none:1"
    missing = site.daemon.docker("pull", whole, check=False)
    assert missing.returncode == 1
    assert f"repository {repository} not found: name unknown:" in missing.stderr
    site.daemon.docker("rmi", push(site, "alice/there:1"))
    missing = site.daemon.docker("pull", f"{site.host}/alice/there:2", check=False)
    assert missing.returncode == 1
    assert f"manifest for {site.host}/alice/there:2 not found: manifest unknown:" in missing.stderr
    missing = site.daemon.docker("push", whole, check=False)
    assert missing.stderr.strip().endswith(f"An image does not exist locally with the tag: {site.host}/alice/none")


def test_wharf_logs_in_pushes_and_pulls(site: Site) -> None:
    wharf = site.wharf
    done = wharf("login", "-u", "alice", "--password-stdin", site.host, feed="alice-secret\n")
    assert done.stdout == "Login Succeeded\n" and "stored unencrypted" in done.stderr
    config = Path(site.base) / "client/config.json"
    assert site.host in json.loads(config.read_text())["auths"] and config.stat().st_mode & 0o077 == 0
    whole = f"{site.host}/alice/wharf:1"
    wharf("tag", "busybox", whole)
    pushed = wharf("push", whole).stdout.splitlines()
    assert pushed[0] == f"The push refers to repository [{site.host}/alice/wharf]"
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", pushed[-1])
    assert digest
    wharf("rmi", whole)
    assert wharf("pull", whole).stdout.splitlines()[-1] == whole
    document = json.loads(wharf("manifest", "inspect", whole).stdout)
    assert document["schemaVersion"] == 2 and len(document["layers"]) == 1
    wharf("logout", site.host)
    assert site.host not in json.loads(config.read_text())["auths"]
    wharf("rmi", whole)
    assert (
        "denied" in wharf("pull", whole, check=False).stderr
        or "unauthorized" in wharf("pull", whole, check=False).stderr
    )


def test_what_a_registry_has_under_a_name(site: Site) -> None:
    whole = push(site, "alice/asked:1")
    who = encoded({"username": "alice", "password": "alice-secret"})
    address = f"http://d/v1.51/distribution/{whole}/json"
    curl = ["curl", "-sS", "-H", f"X-Registry-Auth: {who}", "--unix-socket", site.daemon.socket, address]
    answer: dict[str, Any] = json.loads(subprocess.run(curl, capture_output=True, check=True).stdout)
    assert answer["Descriptor"]["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert answer["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    site.daemon.docker("rmi", whole)


def test_every_tag(site: Site) -> None:
    names = [push(site, f"alice/many:{tag}") for tag in ("1", "2")]
    site.daemon.docker("push", "-a", f"{site.host}/alice/many")
    site.daemon.docker("rmi", *names)
    site.daemon.docker("pull", "-a", f"{site.host}/alice/many")
    listed = site.daemon.docker("images", "--format", "{{.Tag}}", f"{site.host}/alice/many").stdout.split()
    assert sorted(listed) == ["1", "2"]
    site.daemon.docker("rmi", *names)
