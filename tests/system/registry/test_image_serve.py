"""`wharf image serve`: the engine's own store as a registry, read by docker, skopeo and plain HTTP."""

import json
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.support.authority import Authority
from tests.support.registry import ROOT, Http, digest_of
from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def wharfd() -> Iterator[Wharfd]:
    """A daemon that has busybox."""
    with Wharfd() as daemon:
        daemon.load_busybox()
        yield daemon


@pytest.fixture(scope="module")
def served(wharfd: Wharfd) -> Iterator[tuple[Wharfd, int]]:
    """A daemon with a few names, and the port at which its images are served."""
    wharfd.docker("tag", "busybox", "busybox:serve")
    for name in ("registry.example/team/app:1", "registry.example:5000/port/app:2", "other.example/team/app:9"):
        wharfd.docker("tag", "busybox:serve", name)
    with serving(wharfd) as port:
        yield wharfd, port


@contextmanager
def serving(wharfd: Wharfd, *flags: str) -> Iterator[int]:
    """`wharf image serve`; its port."""
    command = [str(ROOT / ".venv/bin/wharf"), "-H", wharfd.host, "image", "serve", "--addr", "127.0.0.1:0", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the server ended"
            found = re.search(r"listens on 127\.0\.0\.1:(\d+)", line)
        yield int(found[1])
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stderr.close()


def test_names_are_repositories(served: tuple[Wharfd, int]) -> None:
    http = Http(served[1])
    names = http("GET", "/v2/_catalog").json["repositories"]
    expected = {"busybox", "library/busybox", "team/app", "registry.example/team/app", "other.example/team/app"}
    assert expected | {"port/app"} <= set(names)
    assert http("GET", "/v2/team/app/tags/list").json["tags"] == ["9"]  # the first registry by alphabet
    assert http("GET", "/v2/registry.example/team/app/tags/list").json["tags"] == ["1"]
    assert "serve" in http("GET", "/v2/library/busybox/tags/list").json["tags"]
    http.close()


def test_what_is_served_is_what_the_store_has(served: tuple[Wharfd, int]) -> None:
    http = Http(served[1])
    answer = http("GET", "/v2/busybox/manifests/serve")
    assert answer.headers["Docker-Content-Digest"] == digest_of(answer.body)
    for item in (answer.json["config"], *answer.json["layers"]):
        blob = http("GET", f"/v2/busybox/blobs/{item['digest']}")
        assert digest_of(blob.body) == item["digest"] and len(blob.body) == item["size"]
    assert http("GET", f"/v2/busybox/manifests/{digest_of(answer.body)}").body == answer.body
    stranger = digest_of(b"nobody has this")
    assert http("GET", f"/v2/busybox/blobs/{stranger}").codes == ["BLOB_UNKNOWN"]
    assert http("GET", f"/v2/nobody/blobs/{answer.json['config']['digest']}").status == 404
    http.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "blobs/uploads/"),
        ("PUT", "manifests/serve"),
        ("DELETE", "manifests/serve"),
        ("PATCH", "blobs/uploads/x"),
    ],
)
def test_it_is_read_only(served: tuple[Wharfd, int], method: str, path: str) -> None:
    http = Http(served[1])
    assert http(method, f"/v2/busybox/{path}", b"{}").codes == ["UNSUPPORTED"]
    http.close()


def test_changes_are_seen_at_once(served: tuple[Wharfd, int]) -> None:
    wharfd, port = served
    http = Http(port)
    assert http("HEAD", "/v2/fresh/manifests/1").status == 404
    wharfd.docker("tag", "busybox:serve", "fresh:1")
    assert http("HEAD", "/v2/fresh/manifests/1").status == 200
    wharfd.docker("rmi", "fresh:1")
    assert http("HEAD", "/v2/fresh/manifests/1").status == 404
    http.close()


def test_another_daemon_pulls_and_runs(served: tuple[Wharfd, int]) -> None:
    _, port = served
    with Wharfd(own_network=False) as other:
        name = f"127.0.0.1:{port}/busybox:serve"
        other.docker("pull", name)
        assert other.docker("run", "--rm", "--network", "none", name, "echo", "served").stdout.strip() == "served"


def test_skopeo_copies(served: tuple[Wharfd, int], tmp_path: object) -> None:
    target = f"dir:{tmp_path}"
    source = f"docker://127.0.0.1:{served[1]}/team/app:9"
    subprocess.run(["skopeo", "copy", "--src-tls-verify=false", source, target], check=True, capture_output=True)
    with open(f"{tmp_path}/manifest.json", encoding="utf-8") as file:
        assert json.load(file)["layers"]


def test_with_a_password_over_tls(wharfd: Wharfd, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("serve", "127.0.0.1")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"alice:{hashed}\n")
    flags = ("--htpasswd", str(tmp_path / "htpasswd"), "--tls-cert", str(certificate), "--tls-key", str(key))
    with serving(wharfd, *flags) as port:
        http = Http(port, ssl.create_default_context(cafile=str(authority.ca)))
        answer = http("GET", "/v2/busybox/manifests/latest")
        assert answer.status == 401 and answer.codes == ["UNAUTHORIZED"]
        http.close()
        certificates = tmp_path / "certs"
        certificates.mkdir()
        shutil.copy(authority.ca, certificates / "ca.crt")
        copy = ["skopeo", "copy", f"--src-cert-dir={certificates}", f"docker://127.0.0.1:{port}/busybox:latest"]
        for login, status in (("alice:wrong", 1), ("alice:secret", 0)):
            out = subprocess.run(
                [*copy, f"dir:{tmp_path}/{status}", f"--src-creds={login}"], capture_output=True, text=True, check=False
            )
            assert out.returncode == status, out.stderr
        assert json.loads((tmp_path / "0/manifest.json").read_text())["layers"]


def test_only_a_daemon_of_this_machine(wharfd: Wharfd) -> None:
    command = [str(ROOT / ".venv/bin/wharf"), "-H", "tcp://127.0.0.1:1", "image", "serve"]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.returncode == 1 and out.stderr
