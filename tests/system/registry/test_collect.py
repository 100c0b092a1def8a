"""Collecting beside pushes, and what a kill leaves: no blob without its digest, no tag without its manifest."""

import hashlib
import json
import os
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.support.registry import OCTETS, Http, Registry, config_of, digest_of, image, layer_of

PUSHES = 500
PUSHERS = 2
SEEDS = 60
"""Layers that are pushed again and again; between two times the first push is collected, or not yet."""
GRACE = 0.1
RETRIES = 10


def wait_until(what: str, true: "object", seconds: float = 60.0) -> None:
    """Poll for something that another process does by its own clock."""
    deadline = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def push_with_questions(http: Http, name: str, reference: str, seed: bytes) -> None:
    """As clients push: ask for each blob, upload what is missing, then name them."""
    for blob in (config_of(b"shared"), layer_of(seed)):
        if http("HEAD", f"/v2/{name}/blobs/{digest_of(blob)}").status != 200:
            http.push_blob(name, blob)
    document = {**image(seed), "config": image(b"shared")["config"]}
    http.push_manifest(name, reference, document)


def push_until_taken(http: Http, name: str, reference: str, seed: bytes) -> None:
    """Push again when it took longer than the grace, which a busy machine may do."""
    for attempt in range(RETRIES):
        try:
            push_with_questions(http, name, reference, seed)
            return
        except AssertionError as refused:
            if attempt == RETRIES - 1 or "MANIFEST_BLOB_UNKNOWN" not in str(refused):
                raise


def test_a_push_during_collecting_loses_nothing() -> None:
    """Images are pushed and deleted while a pass of collecting follows the other; blobs come and go all the time.

    A push that took longer than the grace (the machine was busy) may be told so, and is repeated.
    """
    with Registry("--gc-interval", "0.001", "--gc-grace", str(GRACE)) as registry:
        problems: list[str] = []

        def push(number: int) -> None:
            http = Http(registry.port)
            name = f"gc/{number}"
            try:
                for turn in range(PUSHES // PUSHERS):
                    seed = b"%d" % (turn % SEEDS)
                    while True:
                        begun = time.monotonic()
                        try:
                            push_with_questions(http, name, "tag", seed)
                            break
                        except AssertionError:
                            if time.monotonic() - begun < GRACE:
                                raise
                    found = http("GET", f"/v2/{name}/manifests/tag")
                    for item in (found.json["config"], *found.json["layers"]):
                        answer = http("GET", f"/v2/{name}/blobs/{item['digest']}")
                        if digest_of(answer.body) != item["digest"]:
                            problems.append(f"{name} {turn}: {item['digest']} {answer.status}")
                    if turn % 3:
                        http("DELETE", f"/v2/{name}/manifests/{found.headers['Docker-Content-Digest']}")
            except Exception as error:
                problems.append(f"{name}: {error!r}")
            finally:
                http.close()

        threads = [threading.Thread(target=push, args=(number,)) for number in range(PUSHERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems
        assert "failed" not in registry.log()
        collected = [line for line in registry.log().splitlines() if "collected" in line]
        assert len(collected) > 10, "nothing was collected meanwhile"


def test_what_nothing_names_is_collected() -> None:
    with Registry("--gc-interval", "0.05", "--gc-grace", "0") as registry:
        http = Http(registry.port)
        document = None
        while document is None:
            # With no grace a blob may go before its manifest comes: that is what the grace is for.
            try:
                document = http.push_image("a", "one")
            except AssertionError:
                continue
        kept = {item["digest"] for item in (document["config"], *document["layers"])}
        manifest = digest_of(json.dumps(document).encode())
        orphan = http.push_blob("a", b"never named")
        wait_until("the orphan stays", lambda: orphan not in registry.blobs())
        assert kept | {manifest} <= registry.blobs()
        assert http("DELETE", f"/v2/a/manifests/{manifest}").status == 202
        wait_until("the image stays", lambda: not registry.blobs())
        http.close()


def test_what_a_client_was_told_of_stays_for_the_grace() -> None:
    with Registry("--gc-interval", "0.01", "--gc-grace", "600") as registry:
        http = Http(registry.port)
        digest = http.push_blob("a", b"not named yet")
        gone = http.push_image("b", "one")
        http("DELETE", f"/v2/b/manifests/{digest_of(json.dumps(gone).encode())}")
        wait_until("the manifest's file stays", lambda: len(registry.blobs()) == 3)
        assert http("HEAD", f"/v2/a/blobs/{digest}").status == 200
        http.close()


def test_an_upload_that_was_given_up() -> None:
    with Registry("--gc-interval", "0.05", "--upload-age", "0") as registry:
        http = Http(registry.port)
        location = http("POST", "/v2/a/blobs/uploads/").headers["Location"]
        wait_until("the upload stays", lambda: not os.listdir(f"{registry.root}/uploads"))
        answer = http("PATCH", location, b"x", **OCTETS)
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
        http.close()


def test_an_upload_goes_on_after_a_kill() -> None:
    with Registry() as registry:
        http = Http(registry.port)
        location = http("POST", "/v2/a/blobs/uploads/").headers["Location"]
        assert http("PATCH", location, b"before ", **OCTETS).status == 202
        http.close()
        registry.kill()
        registry.start()
        http = Http(registry.port)
        assert http("GET", location).headers["Range"] == "0-6"
        assert http("PATCH", location, b"after", Content_Range="7-11", **OCTETS).status == 202
        assert http("PUT", f"{location}?digest={digest_of(b'before after')}").status == 201
        http.close()


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_during_pushes_leaves_a_whole_store(moment: int) -> None:
    """kill -9 at some moment of a stream of pushes; then files are what they are named, names lead to all."""
    with Registry("--gc-interval", "0.01", "--gc-grace", "0.05") as registry:
        pushed = threading.Event()

        def push() -> None:
            http = Http(registry.port)
            try:
                for turn in range(10_000):
                    push_with_questions(http, "k", f"t{turn % 5}", os.urandom(8).hex().encode())
                    if turn >= moment:
                        pushed.set()
            except (OSError, AssertionError, ValueError):
                pass
            except Exception as error:  # http.client's own, at the cut
                assert "http.client" in type(error).__module__, error
            finally:
                pushed.set()
                http.close()

        thread = threading.Thread(target=push)
        thread.start()
        assert pushed.wait(60)
        registry.kill()
        thread.join()
        check_store(registry)
        registry.start()
        http = Http(registry.port)
        for tag in http("GET", "/v2/k/tags/list").json["tags"]:
            manifest = http("GET", f"/v2/k/manifests/{tag}")
            assert manifest.status == 200
            for item in (manifest.json["config"], *manifest.json["layers"]):
                assert digest_of(http("GET", f"/v2/k/blobs/{item['digest']}").body) == item["digest"]
        push_until_taken(http, "k", "after", b"after")
        http.close()


def check_store(registry: Registry) -> None:
    """Every visible file is what its name says; every manifest that the database knows has its file and its parts."""
    blobs = Path(registry.root) / "content/blobs/sha256"
    for path in blobs.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    with sqlite3.connect(f"{registry.root}/registry.db") as database:
        rows = database.execute("SELECT digest FROM manifests UNION SELECT digest FROM refs").fetchall()
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()
    for (digest,) in rows:
        assert (blobs / digest.removeprefix("sha256:")).exists(), digest


def test_offline_collecting_waits_for_no_server() -> None:
    with Registry() as registry:
        http = Http(registry.port)
        http.push_blob("a", b"orphan")
        http.push_image("a", "one")
        http.close()
        command = [registry.process.args[0], "gc", "--root", registry.root]  # type: ignore[union-attr,index]
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "another registry server uses" in refused.stderr
        registry.stop()
        assert registry.run("gc") == "0 uploads, 1 links, 1 blobs\n"
        assert len(registry.blobs()) == 3
