"""The edge behind TLS: a client that ends its sending side is still answered, and nobody gets in without proof."""

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.support.authority import Authority
from tests.support.edge import served
from wharf.api.http import Answer, Hijack, Reply, Request
from wharf.api.relay import Source, relay
from wharf.api.router import Route
from wharf.api.server import Api, Listener

T = TypeVar("T")
MUCH = 6_000_000


class Fake:
    """The process sides of the streams that were opened."""

    def __init__(self) -> None:
        self.processes: list[socket.socket] = []


async def attach(api: Api, request: Request) -> Answer:
    ours, theirs = socket.socketpair()
    theirs.settimeout(20)
    api.engine.processes.append(theirs)
    return Hijack(relay(Source(ours)))


async def echo(api: Api, request: Request) -> Answer:
    return Reply(200, await request.body.read(MUCH), "text/plain")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[tuple[tuple[str, int], Fake]]:
    fake = Fake()
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    routes = (Route("POST", "/attach", attach), Route("POST", "/echo", echo))
    with served(fake, routes, Listener(listening, authority.server("127.0.0.1", clients=True))):
        yield address, fake


class Client:
    """TLS over memory, so that close_notify goes out when a test says so."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        self.tcp = socket.create_connection(address, timeout=20)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")
        self._until(self.session.do_handshake)

    def _until(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.tcp.recv(1 << 16)
                self._in.write(data) if data else self._in.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        if self._out.pending:
            self.tcp.sendall(self._out.read())

    def send(self, data: bytes) -> None:
        for begin in range(0, len(data), 1 << 16):
            self.session.write(data[begin : begin + (1 << 16)])
            self._flush()

    def end(self) -> None:
        """close_notify and nothing else."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.session.unwrap()
        self._flush()

    def read(self) -> bytes:
        """One piece; b"" at the server's close_notify."""
        return self._until(lambda: self.session.read(1 << 16))

    def read_all(self) -> bytes:
        parts = []
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while data := self.read():
                parts.append(data)
        return b"".join(parts)


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(*authority.issue("client"))
    return context


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def client(
    server: tuple[tuple[str, int], Fake], trusting: ssl.SSLContext, request: pytest.FixtureRequest
) -> Iterator[Client]:
    trusting.maximum_version = trusting.minimum_version = request.param
    made = Client(server[0], trusting)
    with made.tcp:
        yield made


def attached(client: Client, fake: Fake) -> socket.socket:
    client.send(b"POST /attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.read()
    assert head.startswith(b"HTTP/1.1 101 ") and head.endswith(b"\r\n\r\n")
    return fake.processes.pop()


def test_what_is_said_after_the_end_of_stdin_arrives(client: Client, server: tuple[tuple[str, int], Fake]) -> None:
    with attached(client, server[1]) as process:
        client.send(b"last line")
        client.end()
        assert b"".join(iter(lambda: process.recv(100), b"")) == b"last line"
        process.sendall(b"later")
        process.shutdown(socket.SHUT_RDWR)
    assert client.read_all() == b"later"


def test_a_fin_without_close_notify_is_the_same_end(client: Client, server: tuple[tuple[str, int], Fake]) -> None:
    with attached(client, server[1]) as process:
        client.tcp.shutdown(socket.SHUT_WR)
        assert process.recv(100) == b""
        process.sendall(b"later")
    assert client.read() == b"later"


def test_much_both_ways_at_once_with_a_slow_reader(client: Client, server: tuple[tuple[str, int], Fake]) -> None:
    data = os.urandom(MUCH)
    with attached(client, server[1]) as process:

        def process_runs() -> None:
            time.sleep(0.1)  # its input piles up until the client is made to wait
            while part := process.recv(1 << 16):
                process.sendall(part)
            process.shutdown(socket.SHUT_RDWR)

        received: list[bytes] = []
        running = threading.Thread(target=process_runs)
        running.start()
        sending = threading.Thread(target=lambda: (client.send(data), client.end()))
        sending.start()
        sending.join(0.2)
        received.append(client.read_all())
        running.join(20)
        sending.join(20)
    assert b"".join(received) == data


def test_a_client_that_leaves_ends_the_stream(client: Client, server: tuple[tuple[str, int], Fake]) -> None:
    with attached(client, server[1]) as process:
        client.end()
        client.tcp.close()
        assert process.recv(100) == b""
        with pytest.raises(OSError):
            for _ in range(200):
                process.sendall(b"x" * 100_000)


def test_requests_one_after_the_other_and_a_body_of_many_records(client: Client) -> None:
    for size in (0, 1, 3_000_000):
        body = os.urandom(size)
        client.send(b"POST /echo HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (size, body))
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < size:
            answer += client.read()
        assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(body)


def test_nobody_gets_in_without_proof(server: tuple[tuple[str, int], Fake], authority: Authority) -> None:
    stranger = Client(server[0], ssl.create_default_context(cafile=str(authority.ca)))  # TLS 1.3: refused with its read
    with stranger.tcp, pytest.raises((ssl.SSLError, OSError)):
        stranger.send(b"POST /echo HTTP/1.1\r\n\r\n")
        assert stranger.read() == b"", "a client without a certificate was answered"
        raise ssl.SSLError("closed")


def test_plain_http_is_told_so(server: tuple[tuple[str, int], Fake]) -> None:
    with socket.create_connection(server[0], timeout=10) as plain:
        plain.sendall(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(1000), b""))
    assert answer == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
    with socket.create_connection(server[0], timeout=10) as noise:
        noise.sendall(os.urandom(3000))
        with contextlib.suppress(ConnectionResetError):
            assert noise.recv(1000)[:2] in (b"\x15\x03", b""), "an alert, or nothing"
