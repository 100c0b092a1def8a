"""`wharf build` of a large directory: only what has changed is sent, and what is built is the directory as it is."""

import hashlib
import json
import os
import socket
from pathlib import Path

import docker
import pytest

from tests.support.building import build, inside, write
from tests.support.wharfd import Wharfd

SIZE = 1 << 20


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """Eight files of a megabyte, a link, a directory that is left out but for one file."""
    root = write(
        tmp_path / "context",
        {
            "Dockerfile": "FROM busybox\nCOPY . /c\n",
            ".dockerignore": "out\n!out/kept\n",
            "out/kept": "k",
            "out/gone": "g",
        },
    )
    (root / "d").mkdir()
    for number in range(8):
        (root / "d" / str(number)).write_bytes(bytes([number]) * SIZE)
    (root / "link").symlink_to("d/1")
    return root


def _sent(daemon: Wharfd, context: Path, *flags: str) -> int:
    """Bytes that went to the daemon in one build: counted by a socket between the two."""
    import threading

    path = f"{daemon.root}/counted"
    count = [0]
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(16)

    def pump(source: socket.socket, target: socket.socket, counts: bool) -> None:
        while data := source.recv(1 << 16):
            count[0] += len(data) if counts else 0
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        while True:
            try:
                near, _ = server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(daemon.socket)
            for pair in ((near, far, True), (far, near, False)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    before = daemon.environment["DOCKER_HOST"]
    daemon.environment["DOCKER_HOST"] = f"unix://{path}"
    try:
        build(daemon, context, "-t", "changed", *flags)
    finally:
        daemon.environment["DOCKER_HOST"] = before
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        os.unlink(path)
    return count[0]


def _listing(daemon: Wharfd) -> str:
    return inside(
        daemon, "changed", "cd /c; find . | sort; for f in d/*; do head -c 4 $f | md5sum; done; readlink link"
    )


def test_only_what_changed_goes_over_the_wire(daemon: Wharfd, context: Path) -> None:
    assert _sent(daemon, context) > 8 * SIZE
    first = _listing(daemon)
    assert "./out/kept" in first and "./out/gone" not in first and first.endswith("d/1\n")
    assert _sent(daemon, context) < 100_000
    assert _listing(daemon) == first
    (context / "d/3").write_bytes(b"anew" * (SIZE // 4))
    assert SIZE < _sent(daemon, context) < 2 * SIZE
    assert _listing(daemon) != first and inside(daemon, "changed", "head -c 8 /c/d/3") == "anewanew"


def test_what_is_removed_renamed_or_of_another_kind(daemon: Wharfd, context: Path) -> None:
    build(daemon, context, "-t", "changed")
    (context / "d/0").rename(context / "d/moved")
    (context / "d/1").unlink()
    (context / "d/2").unlink()
    (context / "d/2").mkdir()
    (context / "d/2/inner").write_text("inner")
    (context / "link").unlink()
    (context / "link").write_text("a file now")
    os.chmod(context / "d/4", 0o751)
    build(daemon, context, "-t", "changed")
    assert inside(daemon, "changed", "cd /c; ls d d/2; cat link d/2/inner; stat -c %a d/4") == (
        "d:\n2\n3\n4\n5\n6\n7\nmoved\n\nd/2:\ninner\na file nowinner751\n"
    )


def test_the_result_is_that_of_the_whole_context(daemon: Wharfd, context: Path) -> None:
    build(daemon, context, "-t", "changed")
    wanted = daemon.docker("inspect", "-f", "{{.Id}}", "changed").stdout
    environment = {**daemon.environment, "DOCKER_BUILDKIT": "0"}
    daemon.environment["DOCKER_BUILDKIT"] = environment["DOCKER_BUILDKIT"]
    out = daemon.docker("build", "-t", "whole", str(context)).stdout
    assert "Using cache" in out and daemon.docker("inspect", "-f", "{{.Id}}", "whole").stdout == wanted
    daemon.docker("build", "--no-cache", "-t", "whole", str(context))
    assert daemon.docker("inspect", "-f", "{{.Id}}", "whole").stdout == wanted


def test_a_client_that_does_not_send_what_it_said(daemon: Wharfd) -> None:
    client = docker.APIClient(daemon.host, version="1.51")
    try:
        for entries, words in (
            ([["../x", 0o100644, 1, 0, "0" * 64]], "is no name of a file"),
            ([["x", 0o100644, 1, 0, "short"]], "has no digest"),
            ([["x", 0o020644, 1, 0, ""]], "neither a file"),
            ([["x"]], "an entry is not"),
            ("x", "not a list"),
        ):
            answer = client.post(f"{client.base_url}/wharf/v1/build/context", json={"Key": "k", "Entries": entries})
            assert answer.status_code == 400 and words in answer.text, answer.text
        entries = [["Dockerfile", 0o100644, 12, 0, hashlib.sha256(b"FROM busybox").hexdigest()]]
        for sent, words in ((b"", "was not sent"), (b"FROM scratch", "has changed while")):
            answer = client.post(f"{client.base_url}/wharf/v1/build/context", json={"Key": "k", "Entries": entries})
            number = answer.json()["Id"]
            assert answer.json()["Missing"] == ["Dockerfile"]
            answer = client.post(
                f"{client.base_url}/wharf/v1/build", params={"context": number}, data=_archive("Dockerfile", sent)
            )
            assert words in answer.text
            again = client.post(f"{client.base_url}/wharf/v1/build", params={"context": number}, data=b"")
            assert "no such build context" in again.text
    finally:
        client.close()


def _archive(name: str, data: bytes) -> bytes:
    import io
    import tarfile

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        if data:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def test_a_context_that_a_crash_left_half_changed(daemon: Wharfd, context: Path) -> None:
    """Its index goes before anything is changed: without one nothing of it counts."""
    build(daemon, context, "-t", "changed")
    for index in Path(daemon.root, "data/build/kept").glob("*/index.json"):
        index.unlink()
        (index.parent / "files" / "stray").write_text("of another time")
    build(daemon, context, "-t", "changed")
    assert "stray" not in _listing(daemon)


def test_prune_takes_kept_contexts(daemon: Wharfd, context: Path) -> None:
    build(daemon, context, "-t", "changed")
    kept = Path(daemon.root, "data/build/kept")
    assert [json.loads((path / "index.json").read_text()) for path in kept.iterdir() if (path / "index.json").exists()]
    daemon.docker("builder", "prune", "-af")
    assert not list(kept.iterdir())
