"""Attached clients: a process not started yet, earlier output, detach keys, clients that leave, much output."""

import contextlib
import resource
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.support.edge import served
from wharf.api.http import Answer, Hijack, Request
from wharf.api.listen import open_listener
from wharf.api.relay import Source, relay
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.spec.detach import DetachFilter


class Fake:
    """The process side of one attach."""

    def __init__(self) -> None:
        self.stream: Future[socket.socket] = Future()
        self.detached: list[bool] = []
        self.over = threading.Event()

    def start(self) -> socket.socket:
        """The process starts: its end of the stream."""
        ours, theirs = socket.socketpair()
        theirs.settimeout(10)
        self.stream.set_result(ours)
        return theirs

    def ended(self, detached: bool) -> None:
        self.detached.append(detached)
        self.over.set()


async def attach(api: Api, request: Request) -> Answer:
    keys = DetachFilter(b"\x10\x11") if request.flag("keys") else None

    async def past() -> AsyncIterator[bytes]:
        yield b"earlier "

    history = past if request.flag("logs") else None
    return Hijack(relay(Source(api.engine.stream, keys, api.engine.ended, history)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Fake]]:
    path = str(tmp_path / "s")
    fake = Fake()
    with served(fake, (Route("POST", "/attach", attach),), open_listener(f"unix://{path}", "", None)):
        yield path, fake


def attached(server: tuple[str, Fake], query: str = "") -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(server[0])
    client.sendall(f"POST /attach{query} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return client


def read_all(client: socket.socket) -> bytes:
    parts = []
    while data := client.recv(1 << 20):
        parts.append(data)
    return b"".join(parts)


def test_the_answer_comes_before_the_process_starts_and_stdin_waits_for_it(server: tuple[str, Fake]) -> None:
    with attached(server) as client:
        client.sendall(b"typed ahead")
        client.shutdown(socket.SHUT_WR)
        process = server[1].start()
        assert read_all(process) == b"typed ahead"
        process.sendall(b"done")
        process.close()
        assert read_all(client) == b"done"
    assert server[1].over.wait(5) and server[1].detached == [False]


def test_a_process_that_never_starts_ends_the_stream(server: tuple[str, Fake]) -> None:
    with attached(server) as client:
        server[1].stream.cancel()
        assert read_all(client) == b""


def test_a_client_that_leaves_before_the_start_gives_up_its_stream(server: tuple[str, Fake]) -> None:
    attached(server).close()
    deadline = time.monotonic() + 15
    while not server[1].stream.cancelled() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server[1].stream.cancelled()


def test_earlier_output_comes_first(server: tuple[str, Fake]) -> None:
    with attached(server, "?logs=1") as client, server[1].start() as process:
        process.sendall(b"now")
        process.close()
        assert read_all(client) == b"earlier now"


def test_detach_keys_end_the_client_and_leave_the_process(server: tuple[str, Fake]) -> None:
    with attached(server, "?keys=1") as client, server[1].start() as process:
        client.sendall(b"ab\x10\x11cd")
        assert read_all(process) == b"ab"
        assert read_all(client) == b""
    assert server[1].over.wait(5) and server[1].detached == [True]


def test_unread_stdin_does_not_cost_the_last_output(server: tuple[str, Fake]) -> None:
    with attached(server) as client:
        process = server[1].start()
        client.sendall(b"y\n" * 50_000)
        process.sendall(b"last words")
        process.close()
        assert read_all(client) == b"last words"


def test_a_client_that_leaves_cuts_the_stream_of_the_process(server: tuple[str, Fake]) -> None:
    client = attached(server)
    process = server[1].start()
    process.sendall(b"x")
    assert client.recv(1) == b"x"
    client.close()
    with contextlib.suppress(OSError):
        assert read_all(process) == b""


def test_a_slow_client_holds_the_process_back_and_much_output_is_cheap(server: tuple[str, Fake]) -> None:
    size = 100 << 20
    with attached(server) as client:
        process = server[1].start()
        process.settimeout(None)

        def produce() -> None:
            block = b"x" * 65536
            with process:
                for _ in range(size // len(block)):
                    process.sendall(block)

        before = resource.getrusage(resource.RUSAGE_SELF)
        producer = threading.Thread(target=produce)
        producer.start()
        producer.join(0.3)
        assert producer.is_alive(), "output is queued without bound"
        total, buffer = 0, bytearray(1 << 20)
        while count := client.recv_into(buffer):
            total += count
        producer.join(10)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert total == size
    # Producer, relay and client together; alone the relay takes about 0.15 s.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3
