"""Clients that misbehave: nothing they do costs others their service, or the store a wrong blob."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.registry import OCTETS, Http, Registry, digest_of

SECONDS = 60.0


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry("--gc-interval", "0") as found:
        yield found


def raw(registry: Registry, data: bytes, end: bool = True) -> bytes:
    """Send bytes as they are; everything that comes back."""
    with socket.create_connection(("127.0.0.1", registry.port), SECONDS) as sock:
        sock.sendall(data)
        if end:
            sock.shutdown(socket.SHUT_WR)
        parts = []
        while piece := sock.recv(65536):
            parts.append(piece)
        return b"".join(parts)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /v2/ HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx",
        b"POST /v2/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_request(registry: Registry, data: bytes) -> None:
    answer = raw(registry, data)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_tls_on_a_plain_port_is_refused_at_once(registry: Registry) -> None:
    """Clients that may use either try TLS first; they wait for as long as nothing comes back."""
    with socket.create_connection(("127.0.0.1", registry.port), SECONDS) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert sock.recv(100).startswith(b"HTTP/1.1 400 ")


def test_chunked_framing_that_is_wrong(registry: Registry) -> None:
    http = Http(registry.port)
    for number, payload in enumerate((b"zz\r\n", b"3\r\nabcX\r\n", b"-1\r\n", b"1" * 20 + b"\r\n")):
        location = http("POST", f"/v2/f/{number}/blobs/uploads/").headers["Location"]
        head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        assert raw(registry, head + payload).startswith(b"HTTP/1.1 400 ")
    http.close()


def test_a_client_that_is_cut_goes_on_where_it_was(registry: Registry) -> None:
    http = Http(registry.port)
    location = http("POST", "/v2/cut/blobs/uploads/").headers["Location"]
    data = os.urandom(1 << 20)
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", registry.port), SECONDS) as sock:
        sock.sendall(head + data[:300_000])
    deadline = time.monotonic() + SECONDS
    while os.stat(f"{registry.root}/uploads/{location.rpartition('/')[2]}").st_size < 300_000:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    answer = http("GET", location)
    assert answer.status == 204
    have = int(answer.headers["Range"].partition("-")[2]) + 1
    assert have == 300_000
    rest = data[have:]
    answer = http("PATCH", location, rest, Content_Range=f"{have}-{len(data) - 1}", **OCTETS)
    assert answer.status == 202
    assert http("PUT", f"{location}?digest={digest_of(data)}").status == 201
    http.close()


def test_a_monolithic_upload_that_is_cut_leaves_no_blob(registry: Registry) -> None:
    before = set(os.listdir(f"{registry.root}/uploads"))
    data = b"x" * 100_000
    head = f"POST /v2/mono/blobs/uploads/?digest={digest_of(data)} HTTP/1.1\r\nHost: x\r\n"
    head += f"Content-Length: {len(data)}\r\n\r\n"
    assert raw(registry, head.encode() + data[:5000]) == b""
    assert digest_of(data) not in registry.blobs()
    assert set(os.listdir(f"{registry.root}/uploads")) == before


def test_two_requests_on_one_upload(registry: Registry) -> None:
    """The second waits a moment for the first, then is told to go away; the first is not disturbed."""
    http, other = Http(registry.port), Http(registry.port)
    location = http("POST", "/v2/race/blobs/uploads/").headers["Location"]
    with socket.create_connection(("127.0.0.1", registry.port), SECONDS) as sock:
        sock.sendall(f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345".encode())
        deadline = time.monotonic() + SECONDS
        while os.stat(f"{registry.root}/uploads/{location.rpartition('/')[2]}").st_size < 5:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        answer = other("PATCH", location, b"abc", **OCTETS)
        assert (answer.status, answer.codes) == (409, ["BLOB_UPLOAD_INVALID"])
        sock.sendall(b"67890")
        assert sock.recv(100).startswith(b"HTTP/1.1 202 ")
    assert http("PUT", f"{location}?digest={digest_of(b'1234567890')}").status == 201
    http.close()
    other.close()


def test_the_same_blob_pushed_by_many_at_once(registry: Registry) -> None:
    data = os.urandom(3 << 20)
    failures: list[BaseException] = []

    def push(number: int) -> None:
        http = Http(registry.port)
        try:
            http.push_blob(f"many/{number % 3}", data)
        except BaseException as error:
            failures.append(error)
        http.close()

    threads = [threading.Thread(target=push, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    http = Http(registry.port)
    assert all(http("GET", f"/v2/many/{number}/blobs/{digest_of(data)}").body == data for number in range(3))
    http.close()


def test_slow_clients_keep_nobody_out(registry: Registry) -> None:
    """More half-sent heads than there may be connections: those that wait longest make room."""
    slow = []
    try:
        for _ in range(530):
            sock = socket.create_connection(("127.0.0.1", registry.port), SECONDS)
            sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost:")
            slow.append(sock)
        http = Http(registry.port)
        assert http("GET", "/v2/").status == 200
        http.close()
    finally:
        for sock in slow:
            sock.close()


def test_requests_in_one_breath(registry: Registry) -> None:
    one = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw(registry, one * 20).count(b"HTTP/1.1 200 OK") == 20


def test_100_continue(registry: Registry) -> None:
    http = Http(registry.port)
    location = http("POST", "/v2/expect/blobs/uploads/").headers["Location"]
    http.close()
    with socket.create_connection(("127.0.0.1", registry.port), SECONDS) as sock:
        head = f"PUT {location}?digest={digest_of(b'abc')} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
        sock.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(1000).startswith(b"HTTP/1.1 201 ")


def test_memory_is_flat(registry: Registry) -> None:
    """A blob of 300 MB goes in and out; the server stays below 80 MB."""
    http = Http(registry.port)
    piece = os.urandom(1 << 20)
    location = http("POST", "/v2/big/blobs/uploads/").headers["Location"]
    answer = http("PATCH", location, iter([piece] * 300), Transfer_Encoding="chunked", **OCTETS)
    assert answer.headers["Range"] == f"0-{(300 << 20) - 1}"
    digest = digest_of(piece * 300)
    assert http("PUT", f"{location}?digest={digest}").status == 201
    assert len(http("GET", f"/v2/big/blobs/{digest}").body) == 300 << 20
    http.close()
    assert registry.memory() < 80 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A file system of 8 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "wharf-test", str(tmp_path)], check=True)
    yield str(tmp_path)
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk(small_disk: str) -> None:
    with Registry(place=small_disk) as registry:
        http = Http(registry.port)
        kept = http.push_image("d", "one")
        location = http("POST", "/v2/d/blobs/uploads/").headers["Location"]
        answer = http("PATCH", location, b"x" * (16 << 20), **OCTETS)
        assert (answer.status, answer.codes) == (507, ["INSUFFICIENT_STORAGE"])
        http.close()
        http = Http(registry.port)
        assert http("GET", "/v2/d/manifests/one").json == kept
        assert http("DELETE", location).status == 204
        assert http("GET", "/v2/d/blobs/" + kept["config"]["digest"]).status == 200
        http.push_image("d", "two", b"two")
        http.close()
