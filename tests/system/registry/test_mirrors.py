"""Mirrors that fail in every way: the next source takes over, and what they sent wrong is never kept."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_registry import Call, FakeRegistry, digest_of, tar_of
from tests.support.images import image_engine
from tests.system.registry.test_pull import FAST, Told, fetch, file_of, nothing_is_left
from wharf.errors import Invalid
from wharf.spec.reference import Reference

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
BASE, TOP = tar_of({"a": b"base\n"}), tar_of({"b": os.urandom(1 << 20)})
OTHER = gzip.compress(tar_of({"b": os.urandom(1 << 20)}), 1, mtime=0)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    with image_engine(tmp_path) as made:
        yield made


class Pair:
    """A registry and a mirror of it that has the same; `layer` is the digest of the image's large one."""

    def __init__(self, registry: FakeRegistry, mirrors: list[FakeRegistry]) -> None:
        self.registry, self.mirrors = registry, mirrors
        self.reference: Reference = registry.add("app", "1", [BASE, TOP])
        self.document = json.loads(registry.manifests["app", "1"][1])
        self.layer: str = self.document["layers"][1]["digest"]
        self.data = registry.blobs[self.layer]
        for mirror in mirrors:
            mirror.blobs, mirror.manifests = dict(registry.blobs), dict(registry.manifests)
        addresses = tuple(f"http://{mirror.host}" for mirror in mirrors)
        self.config = replace(FAST, mirrors={registry.host: addresses})

    @property
    def mirror(self) -> FakeRegistry:
        return self.mirrors[0]

    def pull(self, engine: Any) -> Told:
        """Pull; the image must be right, and nothing else may be there."""
        told = Told()
        pulled = fetch(engine, self.reference, told, config=self.config)
        assert file_of(engine, pulled, "b") in TOP
        blobs = {layer["digest"] for layer in self.document["layers"]}
        assert engine.blobs() == blobs | {self.document["config"]["digest"], str(pulled.digest)}
        assert not engine.leftovers() and not engine.database.leases.all()
        return told


@pytest.fixture
def pair() -> Iterator[Pair]:
    with FakeRegistry() as registry, FakeRegistry("127.0.0.2") as mirror:
        yield Pair(registry, [mirror])


@pytest.fixture
def trio() -> Iterator[Pair]:
    with FakeRegistry() as registry, FakeRegistry("127.0.0.2") as one, FakeRegistry("127.0.0.3") as other:
        yield Pair(registry, [one, other])


def last_byte(data: bytes) -> bytes:
    """The archive is whole before anybody can know."""
    return data[:-1] + bytes([data[-1] ^ 1])


def first_bytes(data: bytes) -> bytes:
    """No gzip: unpacking fails before the blob has come."""
    return b"nonsense" + data[8:]


def another(data: bytes) -> bytes:
    """A right archive of something else; it is cut or filled to the length that was announced."""
    return OTHER[: len(data)].ljust(len(data), b"\0")


@pytest.mark.parametrize("spoil", [last_byte, first_bytes, another])
def test_a_wrong_blob(engine: Any, pair: Pair, spoil: Callable[[bytes], bytes]) -> None:
    pair.mirror.blobs[pair.layer] = spoil(pair.data)
    told = pair.pull(engine)
    assert f"{pair.layer[7:19]}: Retrying from another source" in told.texts()
    assert told.texts().count(f"{pair.layer[7:19]}: Pull complete") == 1
    assert len(pair.mirror.seen("GET", pair.layer)) == len(pair.registry.seen("GET", pair.layer)) == 1


def test_a_wrong_blob_of_every_mirror(engine: Any, trio: Pair) -> None:
    for mirror, spoil in zip(trio.mirrors, (last_byte, first_bytes), strict=True):
        mirror.blobs[trio.layer] = spoil(trio.data)
    assert trio.pull(engine).texts().count(f"{trio.layer[7:19]}: Retrying from another source") == 2


def test_a_wrong_blob_of_everybody(engine: Any, pair: Pair) -> None:
    pair.mirror.blobs[pair.layer] = pair.registry.blobs[pair.layer] = last_byte(pair.data)
    with pytest.raises(Invalid, match=f"filesystem layer verification failed for digest {pair.layer}"):
        fetch(engine, pair.reference, config=pair.config)
    assert nothing_is_left(engine) and pair.layer not in engine.blobs()


def test_a_wrong_beginning_that_the_registry_goes_on_from(engine: Any, pair: Pair) -> None:
    """The registry sends what is missing; then all of it, since nobody can know which half was wrong."""

    def half(call: Call) -> None:
        call.head(200, Content_Length=str(len(pair.data)))
        call.wfile.write(first_bytes(pair.data)[: len(pair.data) // 2])
        call.cut()

    pair.mirror.on("GET", pair.layer, half)
    pair.pull(engine)
    ranges = [call.headers.get("range") for call in pair.registry.seen("GET", pair.layer)]
    assert ranges == [f"bytes={len(pair.data) // 2}-", None]
    assert len(pair.mirror.seen("GET", pair.layer)) == 1


def test_a_cut_in_the_middle(engine: Any, trio: Pair) -> None:
    """The next mirror goes on where the first was cut off; then the registry."""
    third = len(trio.data) // 3

    def cut(call: Call) -> None:
        start = int(call.headers.get("Range", "bytes=0-")[6:-1])
        call.head(206 if start else 200, Content_Length=str(len(trio.data) - start))
        call.wfile.write(trio.data[start : start + third])
        call.cut()

    for mirror in trio.mirrors:
        mirror.on("GET", trio.layer, cut)
    assert "Retrying from another source" not in str(trio.pull(engine))
    asked = [server.seen("GET", trio.layer) for server in (*trio.mirrors, trio.registry)]
    assert [[call.headers.get("range") for call in calls] for calls in asked] == [
        [None], [f"bytes={third}-"], [f"bytes={2 * third}-"]
    ]  # fmt: skip


def announced(difference: int) -> Callable[[Call, bytes], None]:
    """A Content-Length that is not the descriptor's."""

    def act(call: Call, data: bytes) -> None:
        call.answer(200, data + b"x" if difference > 0 else data[:-1])

    return act


def endless(call: Call, data: bytes) -> None:
    """No Content-Length, and more than there is."""
    call.close_connection = True
    call.head(200)
    for _ in range(100):
        call.wfile.write(data)


def broken(call: Call, data: bytes) -> None:
    """500, always."""
    call.answer(500)


def busy(call: Call, data: bytes) -> None:
    """429: nobody waits for a mirror."""
    call.refuse(429, "TOOMANYREQUESTS", "slow down", Retry_After="50")


def round_and_round(call: Call, data: bytes) -> None:
    """A redirect loop."""
    call.answer(307, Location=call.path)


def away(call: Call, data: bytes) -> None:
    """Where we do not go."""
    call.answer(307, Location="http://192.0.2.1/blob")


def missing(call: Call, data: bytes) -> None:
    """An honest no."""
    call.refuse(404, "BLOB_UNKNOWN", "blob unknown")


@pytest.mark.parametrize(
    "act", [announced(-1), announced(1), endless, broken, busy, round_and_round, away, missing]
)  # fmt: skip
def test_a_mirror_that_does_not_give_the_blob(engine: Any, pair: Pair, act: Callable[[Call, bytes], None]) -> None:
    pair.mirror.on("GET", pair.layer, lambda call: act(call, pair.data))
    pair.pull(engine)
    assert len(pair.registry.seen("GET", pair.layer)) <= 1


def test_who_failed_is_not_asked_again(engine: Any, pair: Pair) -> None:
    pair.mirror.on("GET", "/manifests/", lambda call: call.answer(500))
    pair.pull(engine)
    assert len(pair.mirror.seen("GET", "/v2/app/")) == 2  # once more, since 500 may pass; no blob after that
    assert len(pair.registry.seen("GET", "/blobs/")) == 3


@pytest.mark.parametrize(
    ("media", "data"),
    [
        ("text/html", b"<html>Please log in to the wireless network</html>"),
        ("application/vnd.oci.image.manifest.v1+json", b"{}"),
        ("application/json", b'{"a": "' + b"x" * (5 << 20) + b'"}'),
    ],
)
def test_a_mirror_whose_manifest_is_none(engine: Any, pair: Pair, media: str, data: bytes) -> None:
    """The digest that it announces is the right one: what comes is not."""
    right = digest_of(pair.registry.manifests["app", "1"][1])
    pair.mirror.on(
        "GET", "/manifests/", lambda call: call.answer(200, data, Content_Type=media, Docker_Content_Digest=right)
    )
    pair.pull(engine)


def test_a_mirror_behind_a_gateway_that_answers_with_a_page(engine: Any, pair: Pair) -> None:
    pair.mirror.on("", "", lambda call: call.answer(200, b"<html>log in</html>", Content_Type="text/html"))
    pair.pull(engine)


def test_a_mirror_that_lies_about_a_config(engine: Any, pair: Pair) -> None:
    pair.mirror.blobs[pair.document["config"]["digest"]] = b"{}"
    pair.pull(engine)
