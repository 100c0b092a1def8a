"""`bootstrap busybox` against a package archive of the test's own on loopback: signed, and tampered with."""

import hashlib
import http.server
import lzma
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.busybox import busybox_path
from wharf.errors import Invalid, NotFound, Unavailable, WharfError
from wharf.transfer.bootstrap import image as bootstrap_image
from wharf.transfer.bootstrap.image import bootstrap
from wharf.transfer.bootstrap.request import BootstrapRequest
from wharf.transfer.bootstrap.sources import AptSource
from wharf.transfer.tar_writer import Node, TarWriter

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg to sign the archive")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gpg", numbered=True)
    home.chmod(0o700)
    gpg(home, "--passphrase", "", "--quick-generate-key", "archive@example.org", "ed25519", "sign", "never")
    gpg(home, "--output", str(home / "archive.gpg"), "--export")
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


def gpg(home: Path, *arguments: str) -> None:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", *arguments]
    subprocess.run(command, check=True, capture_output=True)


class Archive:
    """A package archive in a directory: one suite, one package."""

    def __init__(self, root: Path, keys: Path) -> None:
        self.root, self._keys = root, keys
        self.deb = deb(busybox_path().read_bytes())
        (root / "dists/test/main/binary-amd64").mkdir(parents=True)
        (root / "pool").mkdir()
        (root / "pool/busybox.deb").write_bytes(self.deb)
        self.publish()

    def publish(self, name: str = "busybox-static", path: str = "pool/busybox.deb", extra: str = "") -> None:
        digest = hashlib.sha256(self.deb).hexdigest()
        stanza = (
            f"Package: other\nFilename: x\n\nPackage: {name}\nVersion: 1\nFilename: {path}\nSize: {len(self.deb)}\n"
        )
        index = lzma.compress((stanza + f"SHA256: {digest}\n").encode())
        (self.root / "dists/test/main/binary-amd64/Packages.xz").write_bytes(index)
        release = f"Origin: Test\nDate: Sat, 11 Jul 2020 10:16:37 UTC\n{extra}SHA256:\n"
        release += f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages.xz\n"
        plain = self.root / "dists/test/Release"
        plain.write_text(release)
        gpg(self._keys, "--clearsign", "--output", str(self.root / "dists/test/InRelease"), str(plain))


def deb(binary: bytes) -> bytes:
    import io

    out = io.BytesIO()
    tar = TarWriter(out)
    tar.data("./usr/bin/busybox", binary, Node(0o755))
    tar.close()
    data = lzma.compress(out.getvalue(), preset=0)
    members = ((b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", data))
    ar = b"!<arch>\n"
    for name, body in members:
        ar += (
            b"%-16s%-12d0     0     100644  %-10d`\n" % (name, 1_600_000_000, len(body))
            + body
            + b"\n" * (len(body) % 2)
        )
    return ar


@pytest.fixture
def archive(tmp_path: Path, keys: Path) -> Archive:
    return Archive(tmp_path / "archive", keys)


@pytest.fixture
def source(archive: Archive, keys: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(archive.root))

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    uri = f"http://127.0.0.1:{server.server_port}"
    here = AptSource(uri, "test", ("main",), (str(keys / "archive.gpg"),))
    monkeypatch.setattr(bootstrap_image, "find_source", lambda sources, suite: here)
    yield uri
    server.shutdown()
    thread.join()
    server.server_close()


def make(engine: Any, tmp_path: Path) -> Any:
    return bootstrap(engine.images, BootstrapRequest("busybox", suite="test"), lambda line: None, str(tmp_path))


def test_the_image(engine: Any, source: str, tmp_path: Path) -> None:
    first = make(engine, tmp_path)
    assert make(engine, tmp_path).id == first.id
    assert [name.familiar() for name in first.names] == ["busybox:latest"]
    assert (first.image.created, first.image.config.cmd) == ("2020-09-13T12:26:40Z", ("sh",))
    root = Path(engine.snapshots.layers(first.chain_id).upper)
    assert (root / "bin/sh").stat().st_ino == (root / "bin/busybox").stat().st_ino
    assert "root:x:0:0" in (root / "etc/passwd").read_text()
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def _flip(path: Path, at: int = -30) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def _break_signature(archive: Archive) -> None:
    path = archive.root / "dists/test/InRelease"
    path.write_text(path.read_text().replace("Origin: Test", "Origin: Fake"))


def _drop_signature(archive: Archive) -> None:
    shutil.copy(archive.root / "dists/test/Release", archive.root / "dists/test/InRelease")


BREAKS: dict[str, tuple[Any, type[WharfError], str]] = {
    "a changed release": (_break_signature, Unavailable, "cannot be verified"),
    "no signature": (_drop_signature, Unavailable, "cannot be verified"),
    "a changed index": (lambda a: _flip(a.root / "dists/test/main/binary-amd64/Packages.xz"), Invalid, "wrong digest"),
    "a changed package": (lambda a: _flip(a.root / "pool/busybox.deb"), Invalid, "wrong digest"),
    "a missing package": (lambda a: (a.root / "pool/busybox.deb").unlink(), NotFound, "not found"),
    "no such package": (lambda a: a.publish("another"), NotFound, "no package busybox-static"),
    "a path that leads out": (lambda a: a.publish(path="../../x"), Invalid, "has the file name"),
    "an expired release": (
        lambda a: a.publish(extra="Valid-Until: Sat, 18 Jul 2020 10:16:37 UTC\n"), Unavailable, "expired"),
    "no release": (lambda a: (a.root / "dists/test/InRelease").unlink(), NotFound, "suite"),
}  # fmt: skip


@pytest.mark.parametrize("case", BREAKS)
def test_what_cannot_be_believed_is_refused(
    engine: Any, archive: Archive, source: str, tmp_path: Path, case: str
) -> None:
    breaking, error, words = BREAKS[case]
    breaking(archive)
    with pytest.raises(error, match=words):
        make(engine, tmp_path)
    assert (engine.images.all(), engine.blobs()) == ([], set())


def test_an_unknown_base_is_refused(engine: Any, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="only busybox and debian:SUITE"):
        bootstrap(engine.images, BootstrapRequest("alpine:3"), lambda line: None, str(tmp_path))
