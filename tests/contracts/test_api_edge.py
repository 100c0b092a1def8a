"""The HTTP edge over a real Unix socket with a small application behind it: framing, streams, hijack, errors."""

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.edge import served
from wharf.api.http import Answer, Hijack, Reply, Request, Stream
from wharf.api.listen import open_listener
from wharf.api.relay import Source, relay
from wharf.api.requests import json_body, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.api.streams import produced, progress
from wharf.errors import Conflict, NotFound, NotModified
from wharf.spec.container import ExecConfig


class Fake:
    """What the handlers below leave behind for the tests to look at."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()
        self.waiting = threading.Event()
        self.received = 0


async def echo(api: Api, request: Request) -> Answer:
    return Reply(200, await request.body.read(10 << 20), "text/plain")


async def upload(api: Api, request: Request) -> Answer:
    stream = request.body.file()

    def swallow() -> int:
        while data := stream.read(100_000):
            api.engine.received += len(data)
        return int(api.engine.received)

    return json_reply({"Size": await api.run_stream(swallow)})


async def early_answer(api: Api, request: Request) -> Answer:
    raise Conflict("enough")


async def forever(api: Api, request: Request) -> Answer:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"first\n"
            api.engine.waiting.set()
            await asyncio.Event().wait()
        finally:
            api.engine.cancelled.set()

    return Stream(chunks(), "text/plain", at_once=True)


async def numbers(api: Api, request: Request) -> Answer:
    def work(out: Any) -> None:
        for number in range(20_000):
            out.write(b"%d\n" % number)

    return await produced(api, work, "text/plain")


async def steps(api: Api, request: Request) -> Answer:
    def work(emit: Any) -> None:
        if request.flag("early"):
            raise NotFound("nothing there")
        emit({"status": "one"})
        raise Conflict("late")

    return await progress(api, work)


async def shout(api: Api, request: Request) -> Answer:
    """A process that answers only when its stdin has ended."""
    await request.body.read(1 << 20)
    ours, theirs = socket.socketpair()

    def process() -> None:
        with theirs:
            data = b""
            while part := theirs.recv(65536):
                data += part
            theirs.sendall(data.upper() + b"!" * 1_000_000)

    threading.Thread(target=process, daemon=True).start()
    return Hijack(relay(Source(ours)))


async def typed(api: Api, request: Request) -> Answer:
    return json_reply(await json_body(request, ExecConfig))


async def same(api: Api, request: Request) -> Answer:
    raise NotModified("already")


async def named(api: Api, request: Request) -> Answer:
    return json_reply(request.names | {"Query": request.query})


ROUTES = (
    Route("POST", "/echo", echo),
    Route("POST", "/upload", upload),
    Route("POST", "/early", early_answer),
    Route("GET", "/forever", forever),
    Route("GET", "/numbers", numbers),
    Route("POST", "/steps", steps),
    Route("POST", "/shout", shout),
    Route("POST", "/typed", typed),
    Route("POST", "/same", same),
    Route("HEAD", "/images/{name}/json", named),
    Route("GET", "/images/{name}/json", named),
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Fake]]:
    path = str(tmp_path / "s")
    fake = Fake()
    with served(fake, ROUTES, open_listener(f"unix://{path}", "", None)):
        yield path, fake


def connect(server: tuple[str, Fake]) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(server[0])
    return client


def read_all(client: socket.socket) -> bytes:
    parts = []
    while data := client.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def exchange(server: tuple[str, Fake], data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send a request with `Connection: close` appended to its head and read the whole answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    with connect(server) as client:
        client.sendall(head + b"\r\nHost: x\r\nConnection: close\r\n\r\n" + body)
        raw = read_all(client)
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines[1:])}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return int(lines[0].split()[1]), headers, body


def unchunk(data: bytes) -> bytes:
    out = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        if int(size, 16) == 0:
            assert data == b"\r\n"
            return out
        out += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]


def test_unknown_path_and_method_are_page_not_found(server: tuple[str, Fake]) -> None:
    for line in (b"GET /nothing HTTP/1.1", b"PATCH /v1.51/echo HTTP/1.1", b"GET /v1.51 HTTP/1.1"):
        status, headers, body = exchange(server, line + b"\r\n\r\n")
        assert (status, json.loads(body)) == (404, {"message": "page not found"})
        assert headers["api-version"] == "1.51" and headers["ostype"] == "linux"
        assert headers["docker-experimental"] == "false" and headers["server"].startswith("Wharf/")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("1.10", "client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client "),
    ],
)
def test_versions_out_of_range(server: tuple[str, Fake], version: str, words: str) -> None:
    status, _, body = exchange(server, f"POST /v{version}/echo HTTP/1.1\r\n\r\n".encode())
    assert status == 400 and words in body.decode()


def test_names_with_slashes_and_escapes(server: tuple[str, Fake]) -> None:
    status, _, body = exchange(
        server, b"GET /v1.30/images/localhost%3A5000%2Fa/b:1/json?x=a%20b&x=2&y HTTP/1.1\r\n\r\n"
    )
    assert status == 200
    assert json.loads(body) == {"name": "localhost:5000/a/b:1", "Query": {"x": ["a b", "2"], "y": [""]}}


def test_head_has_a_length_and_no_body(server: tuple[str, Fake]) -> None:
    status, headers, body = exchange(server, b"HEAD /images/a/json HTTP/1.1\r\n\r\n")
    assert status == 200 and int(headers["content-length"]) > 0 and body == b""


def test_not_modified_has_no_body(server: tuple[str, Fake]) -> None:
    status, headers, body = exchange(server, b"POST /same HTTP/1.1\r\n\r\n")
    assert (status, body) == (304, b"") and "content-length" not in headers


def test_keep_alive_and_pipelining_answer_in_order(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        one = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none"
        two = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1;x=y\r\no\r\n0\r\n\r\n"
        last = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthree"
        client.sendall(one + two + last)
        bodies = [part.partition(b"\r\n\r\n")[2] for part in read_all(client).split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"one", b"two", b"three"]


def test_bytes_may_come_one_at_a_time(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        for (
            byte
        ) in b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            client.sendall(bytes([byte]))
        assert read_all(client).endswith(b"\r\n\r\nabc")


def test_upload_in_chunks_is_whole(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        client.sendall(b"POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        block = b"10000\r\n" + os.urandom(65536) + b"\r\n"
        for _ in range(200):
            client.sendall(block)
        client.sendall(b"0\r\n\r\n")
        assert json.loads(read_all(client).partition(b"\r\n\r\n")[2]) == {"Size": 200 * 65536}


def test_an_upload_cut_short_ends_the_reader(server: tuple[str, Fake]) -> None:
    client = connect(server)
    client.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc")
    client.shutdown(socket.SHUT_WR)
    assert b"400 Bad Request" in read_all(client)
    client.close()


def test_an_answer_before_the_body_was_read_arrives(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        client.sendall(b"POST /early HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(50):
                client.sendall(b"x" * 100_000)
        assert read_all(client).endswith(b'{"message":"enough"}\n')


def test_expect_100_continue_is_sent_when_the_body_is_read(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert read_all(client).endswith(b"hi")


def test_a_stream_is_whole(server: tuple[str, Fake]) -> None:
    _, _, body = exchange(server, b"GET /numbers HTTP/1.1\r\n\r\n")
    assert body == b"".join(b"%d\n" % number for number in range(20_000))


def test_errors_of_a_json_stream(server: tuple[str, Fake]) -> None:
    status, _, body = exchange(server, b"POST /steps?early=1 HTTP/1.1\r\n\r\n")
    assert (status, json.loads(body)) == (404, {"message": "nothing there"})
    status, _, body = exchange(server, b"POST /steps HTTP/1.1\r\n\r\n")
    lines = [json.loads(line) for line in body.splitlines()]
    assert status == 200
    assert lines == [{"status": "one"}, {"errorDetail": {"message": "late"}, "error": "late"}]


@pytest.mark.parametrize("how", ["close", "half-close"])
def test_a_client_that_leaves_cancels_its_stream(server: tuple[str, Fake], how: str) -> None:
    client = connect(server)
    client.sendall(b"GET /forever HTTP/1.1\r\n\r\n")
    assert server[1].waiting.wait(5)
    if how == "close":
        client.close()
    else:
        client.shutdown(socket.SHUT_WR)
    assert server[1].cancelled.wait(5)
    client.close()


@pytest.mark.parametrize("upgrade", [True, False])
def test_a_hijack_keeps_early_bytes_and_late_output(server: tuple[str, Fake], upgrade: bool) -> None:
    ask = b"Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else b""
    with connect(server) as client:
        client.sendall(b"POST /shout HTTP/1.1\r\nContent-Length: 2\r\n" + ask + b"\r\n{}early ")
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n" if upgrade else b"HTTP/1.1 200 OK\r\n")
        assert (b"Upgrade: tcp" in head) == upgrade
        client.sendall(b"late")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"EARLY LATE" + b"!" * 1_000_000


def test_a_hijack_whose_client_sent_everything_and_left_its_side_at_once(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        client.sendall(b"POST /shout HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nall")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith(b"ALL" + b"!" * 1_000_000)


def test_bodies_are_checked(server: tuple[str, Fake]) -> None:
    def post(body: bytes, kind: bytes = b"application/json") -> tuple[int, str]:
        head = b"POST /typed HTTP/1.1\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
        status, _, answer = exchange(server, head + body)
        return status, json.loads(answer).get("message", "")

    assert post(b'{"Cmd": ["a"]}')[0] == 200
    assert post(b"{}", b"text/plain") == (
        400,
        "unsupported Content-Type header (text/plain): must be 'application/json'",
    )
    assert post(b'{"Cmd": ["a"]} {}') == (400, "unexpected content after JSON")
    assert post(b'{"Cmd": ')[1].startswith("invalid JSON: ")
    assert post(b'{"Tty": "yes"}') == (
        400,
        "invalid JSON: json: cannot unmarshal string into Go struct field ExecOptions.Tty of type bool",
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 400_000 + b"\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_closed(server: tuple[str, Fake], raw: bytes) -> None:
    with connect(server) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(raw)
        try:
            answer = read_all(client)
        except ConnectionResetError:
            return
        assert answer.startswith(b"HTTP/1.1 4")


def test_bad_chunk_sizes_end_the_connection(server: tuple[str, Fake]) -> None:
    with connect(server) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n")
        assert b" 200 " not in read_all(client)


def test_a_second_daemon_cannot_take_the_socket(server: tuple[str, Fake]) -> None:
    with pytest.raises(Conflict, match="another daemon listens there"):
        open_listener(f"unix://{server[0]}", "", None)
