"""Bytes that are not quite HTTP: refused and cut; nothing behind a refused request is ever served."""

import contextlib
import socket

import pytest

from tests.system.api.raw import Client, exchange

POST = b"POST /v1.51/volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
HIDDEN = POST + b'Content-Length: 17\r\n\r\n{"Name":"hidden"}'
"""What a request smuggled behind another would do."""


def volumes(api: Client) -> list[str]:
    return [item["Name"] for item in api.ask("GET", "/v1.51/volumes").json()["Volumes"] or ()]


@pytest.mark.parametrize(
    "raw",
    [
        POST + b"Content-Length: -1\r\n\r\n{}",
        POST + b"Content-Length: +2\r\n\r\n{}",
        POST + b"Content-Length: 0x2\r\n\r\n{}",
        POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}  ",
        POST + b"Content-Length: 2, 2\r\n\r\n{}",
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length : 2\r\n\r\n{}",
        POST + b"X: a\0b\r\n\r\n",
        POST + b"X: a\rContent-Length: 2\r\n\r\n{}",
        POST + b": x\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 20_000 + b"\r\n{}\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        POST + b"X: " + b"y" * 2_000_000 + b"\r\n\r\n",
        POST + b"X: y\r\n" * 100_000 + b"\r\n",
        b"POST /v1.51/volumes/create\r\n\r\n",
        b"GET /_ping HTTP/3.0\r\nHost: d\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"G@T / HTTP/1.1\r\n\r\n",
        b"GET /_ping x HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_refused_and_cut(api: Client, raw: bytes) -> None:
    answer = exchange(api.path, raw + HIDDEN)
    assert answer.status == 0 or 400 <= answer.status < 500, answer
    assert volumes(api) == []


def test_clients_that_leave_in_the_middle(api: Client) -> None:
    whole = POST + b'Content-Length: 17\r\n\r\n{"Name":"hidden"}'
    for length in range(1, len(whole), 7):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api.path)
            client.sendall(whole[:length])
    for target in (b"images/load", b"images/create?fromSrc=-"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api.path)
            client.sendall(
                b"POST /v1.51/" + target + b" HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 5000
            )
    for target in (b"events", b"containers/json?all=1"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api.path)
            client.sendall(b"GET /v1.51/" + target + b" HTTP/1.1\r\nHost: d\r\n\r\n")
    assert volumes(api) == [] and api.ask("GET", "/_ping").body == b"OK"


def test_slow_clients_keep_nobody_waiting(api: Client) -> None:
    """More uploads that never end than there are threads for them, and heads that never end."""
    with contextlib.ExitStack() as held:
        for number in range(80):
            client = held.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(api.path)
            heads = (
                b"GET /_pi",
                POST + b"Content-Length: 100\r\n\r\n{",
                b"POST /v1.51/images/load HTTP/1.1\r\nHost: d\r\nContent-Length: 9999999\r\n\r\nx",
            )
            client.sendall(heads[number % 3])
        for _ in range(20):
            assert api.ask("GET", "/_ping").body == b"OK"
            assert volumes(api) == []
    assert api.ask("GET", "/_ping").body == b"OK"


def test_a_short_body_is_read_before_an_answer_that_needs_none(api: Client) -> None:
    """As Go's server does; a longer one, or one that the client asks leave for, is answered at once."""
    for size, more, early in ((10, "", False), (300 << 10, "", True), (10, "Expect: 100-continue\r\n", True)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(api.path)
            client.sendall(f"POST /nothing HTTP/1.1\r\nHost: d\r\n{more}Content-Length: {size}\r\n\r\n".encode())
            client.settimeout(20.0 if early else 0.2)
            if early:
                assert client.recv(4096).startswith(b"HTTP/1.1 404 ")
                continue
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(20.0)
            client.sendall(b"x" * size + b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            got = b""
            while not got.endswith(b"OK"):
                got += client.recv(4096)
            assert got.startswith(b"HTTP/1.1 404 ")
