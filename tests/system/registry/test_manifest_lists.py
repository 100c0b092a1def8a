"""`wharf manifest create|annotate|inspect|push|rm` against our registry; docker reads what it wrote down."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.registry import Registry
from tests.support.wharfd import ROOT, Wharfd, docker_client

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as running:
        yield running


@pytest.fixture(scope="module")
def registry(daemon: Wharfd) -> Iterator[Registry]:
    with Registry(enter=daemon.enter) as running:
        yield running


def wharf(daemon: Wharfd, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    out = subprocess.run(
        [str(ROOT / ".venv/bin/wharf"), "manifest", *arguments],
        env=daemon.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert not check or out.returncode == 0, out.stderr
    return out


@pytest.fixture(scope="module")
def parts(daemon: Wharfd, registry: Registry) -> list[str]:
    """Two pushed images in repositories of their own."""
    daemon.load_busybox()
    names = []
    for name in ("amd", "arm"):
        daemon.docker("create", "--name", f"work-{name}", "--network", "none", "-l", f"n={name}", "busybox")
        target = f"{registry.host}/{name}/box:1"
        daemon.docker("commit", f"work-{name}", target)
        daemon.docker("push", target)
        names.append(target)
    return names


def test_a_list_is_made_annotated_and_pushed(daemon: Wharfd, registry: Registry, parts: list[str]) -> None:
    target = f"{registry.host}/team/box:1"
    assert wharf(daemon, "create", target, *parts).stdout == f"Created manifest list {target}\n"
    out = wharf(daemon, "create", target, parts[0], check=False)
    assert out.returncode == 1 and "refusing to amend an existing manifest list with no --amend flag" in out.stderr
    wharf(daemon, "annotate", "--arch", "arm", "--variant", "v7", target, parts[1])
    here = json.loads(wharf(daemon, "inspect", target).stdout)
    assert [item["platform"] for item in here["manifests"]] == [
        {"architecture": "amd64", "os": "linux"}, {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]  # fmt: skip
    theirs = subprocess.run(
        [*daemon.enter, docker_client(), "manifest", "inspect", target],
        env=daemon.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(theirs.stdout)["manifests"] == here["manifests"]
    digest = wharf(daemon, "push", "--purge", target).stdout.strip()
    pushed = subprocess.run(
        [*daemon.enter, "curl", "-sf", f"http://{registry.host}/v2/team/box/manifests/{digest}"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(pushed.stdout)["manifests"] == here["manifests"]
    daemon.docker("rmi", parts[0])
    daemon.docker("pull", target)
    assert daemon.docker("image", "inspect", "-f", "{{.Config.Labels.n}}", target).stdout == "amd\n"
    out = wharf(daemon, "rm", target, check=False)
    assert out.returncode == 1 and f"No such manifest: {target}" in out.stderr


def test_verbose_tells_of_each(daemon: Wharfd, registry: Registry, parts: list[str]) -> None:
    one = json.loads(wharf(daemon, "inspect", "--verbose", parts[1]).stdout)
    plain = json.loads(wharf(daemon, "inspect", parts[1]).stdout)
    assert one["Ref"] == parts[1] and json.loads(base64.b64decode(one["Raw"])) == plain
    assert one["Descriptor"]["platform"] == {"architecture": "amd64", "os": "linux"}
    target = f"{registry.host}/verbose/box:1"
    wharf(daemon, "create", target, *parts)
    wharf(daemon, "push", "-p", target)
    both = json.loads(wharf(daemon, "inspect", "-v", target).stdout)
    assert [item["Descriptor"]["digest"] for item in both][1] == one["Descriptor"]["digest"]
    out = wharf(daemon, "create", f"{registry.host}/x/y", target, check=False)
    assert out.returncode == 1 and f"{target} is a manifest list" in out.stderr


def test_what_is_refused(daemon: Wharfd, registry: Registry, parts: list[str]) -> None:
    for arguments, words in (
        (("annotate", "--arch", "arm", f"{registry.host}/no/list", parts[0]), "does not exist in"),
        (("push", f"{registry.host}/no/list"), "not found"),
        (("create", f"{registry.host}/no/list", f"{registry.host}/no/image:1"), "no such manifest"),
        (("inspect", f"{registry.host}/no/image:1"), "no such manifest"),
    ):
        out = wharf(daemon, *arguments, check=False)
        assert out.returncode == 1 and words in out.stderr
    wharf(daemon, "create", "elsewhere.example/a/list", parts[0])
    out = wharf(daemon, "push", "elsewhere.example/a/list", check=False)
    assert "cannot use source images from a different registry than the target image" in out.stderr
    url = f"http://x/wharf/v1/distribution/{registry.host}/a/b:1/manifest"
    out = subprocess.run(
        ["curl", "-s", "--unix-socket", daemon.socket, "-X", "PUT", "-H", "Content-Type: text/plain", "-d", "{}", url],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "invalid manifest list" in out.stdout


def test_a_registry_without_tls_where_it_is_asked_for(daemon: Wharfd, registry: Registry, parts: list[str]) -> None:
    """Elsewhere than on loopback, so plain HTTP has to be said."""
    address, port = "10.9.8.7", registry.port
    rule = (f"table ip elsewhere {{ chain output {{ type nat hook output priority -100; "
            f"ip daddr {address} tcp dport {port} dnat to 127.0.0.1\n}}\n}}")  # fmt: skip
    subprocess.run([*daemon.enter, "ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    subprocess.run([*daemon.enter, "nft", "-f", "-"], input=rule, text=True, check=True)
    there = [part.replace("127.0.0.1", address) for part in parts]
    target = f"{address}:{port}/insecure/box:1"
    for arguments in (("inspect", there[0]), ("inspect", "-v", there[0]), ("create", target, *there)):
        out = wharf(daemon, *arguments, check=False)
        assert out.returncode == 1 and "server gave HTTP response to HTTPS client" in out.stderr
    plain = wharf(daemon, "inspect", parts[0]).stdout
    assert wharf(daemon, "inspect", "--insecure", there[0]).stdout == plain
    assert json.loads(wharf(daemon, "inspect", "--insecure", "-v", there[0]).stdout)["Ref"] == there[0]
    wharf(daemon, "create", "--insecure", target, *there)
    out = wharf(daemon, "push", target, check=False)
    assert out.returncode == 1 and "server gave HTTP response to HTTPS client" in out.stderr
    digest = wharf(daemon, "push", "--insecure", "--purge", target).stdout.strip()
    pushed = wharf(daemon, "inspect", f"{registry.host}/insecure/box@{digest}").stdout
    assert len(json.loads(pushed)["manifests"]) == 2
    out = wharf(daemon, "inspect", target, check=False)
    assert out.returncode == 1, "one request that said it opened nothing for others"
