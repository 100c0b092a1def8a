"""Many clients at once, readers that do not read, and bodies that are larger than they may be in memory. The figures
beside Docker's: `make bench ONLY=api`."""

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.large import incompressible
from tests.support.wharfd import Wharfd
from tests.system.api.conftest import memory
from tests.system.api.raw import Client, parse, request

IDLE, PARALLEL, UNREAD = 1000, 200, 8
SECONDS = 30.0
BODY = 96 << 20
FLAT = 24 << 20
"""Bytes that a body of BODY may add."""
UNREAD_EACH = 4 << 20
"""Bytes that who does not read a log of 10 MB may cost: what the connection holds, and one block of the log."""
IDLE_EACH = 32 << 10


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * IDLE)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(stack: contextlib.ExitStack, api: Client, data: bytes) -> socket.socket:
    client = stack.enter_context(socket.socket(socket.AF_UNIX))
    client.settimeout(SECONDS)
    client.connect(api.path)
    client.sendall(data)
    return client


def held(daemon: Wharfd) -> int:
    assert daemon.process
    return memory(daemon.process.pid)


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_idle_streams(daemon: Wharfd, api: Client) -> None:
    """Each hears what happens; others are answered beside them; they cost little."""
    before = held(daemon)
    with contextlib.ExitStack() as stack:
        ears = [connected(stack, api, request("GET", "/v1.51/events")) for _ in range(IDLE)]
        for ear in ears:
            assert ear.recv(4096).startswith(b"HTTP/1.1 200 ")
        begun = time.monotonic()
        assert api.ask("GET", "/_ping").body == b"OK"
        assert time.monotonic() - begun < 1.0
        assert held(daemon) - before < IDLE * IDLE_EACH
        assert api.ask("POST", "/v1.51/volumes/create", {"Name": "heard"}).status == 201
        for ear in ears:
            assert b'"heard"' in ear.recv(4096)
    assert api.ask("DELETE", "/v1.51/volumes/heard").status == 204


def test_two_hundred_requests_at_once(api: Client) -> None:
    made = [api.create({"Cmd": ["true"]}, f"listed-{number}").json()["Id"] for number in range(5)]
    targets = ("/containers/json?all=1", "/images/json", "/containers/listed-1/json", "/networks", "/info")
    with contextlib.ExitStack() as stack:
        clients = [
            connected(stack, api, request("GET", "/v1.51" + targets[number % len(targets)]))
            for number in range(PARALLEL)
        ]
        answers = [parse(b"".join(iter(lambda client=client: client.recv(1 << 16), b""))) for client in clients]
    assert {answer.status for answer in answers} == {200}
    assert {item["Id"] for item in answers[0].json()} == set(made)
    assert answers[2].json()["Id"] == made[1]
    for name in made:
        api.ask("DELETE", f"/v1.51/containers/{name}")


def test_readers_that_do_not_read_cost_no_memory(daemon: Wharfd, api: Client) -> None:
    words = "yes 0123456789012345678901234567890123456789 | head -c 10000000"
    name = api.create({"Cmd": ["sh", "-c", words]}).json()["Id"]
    target = f"/v1.51/containers/{name}"
    assert api.ask("POST", f"{target}/start").status == 204
    assert api.ask("POST", f"{target}/wait").status == 200
    before = held(daemon)
    with contextlib.ExitStack() as stack:
        clients = [connected(stack, api, request("GET", f"{target}/logs?stdout=1")) for _ in range(UNREAD)]
        for client in clients:
            select.select([client], [], [], SECONDS)
        for _ in range(20):  # they may take what they can meanwhile
            assert api.ask("GET", "/_ping").body == b"OK"
        assert held(daemon) - before < UNREAD * UNREAD_EACH
        got = parse(b"".join(iter(lambda: clients[0].recv(1 << 18), b"")))  # who reads in the end misses nothing
        assert got.body.count(b"0123456789\n") * 41 >= 9_900_000
    assert api.ask("DELETE", target).status == 204


def test_bodies_pass_through_with_flat_memory(daemon: Wharfd, api: Client) -> None:
    before, most = held(daemon), 0
    with contextlib.ExitStack() as stack:
        head = b"POST /v1.51/images/create?fromSrc=-&repo=body HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        client = connected(stack, api, head + b"Transfer-Encoding: chunked\r\n\r\n")
        for number, part in enumerate(incompressible(BODY)):
            client.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            most = max(most, held(daemon)) if number % 16 == 0 else most
        client.sendall(b"0\r\n\r\n")
        answer = parse(b"".join(iter(lambda: client.recv(1 << 16), b"")))
        assert answer.status == 200 and b"sha256:" in answer.body
        client = connected(stack, api, request("GET", "/v1.51/images/body/get"))
        size = number = 0
        while part := client.recv(1 << 20):
            size, number = size + len(part), number + 1
            most = max(most, held(daemon)) if number % 64 == 0 else most
    assert size > BODY
    assert most - before < FLAT
    assert api.ask("DELETE", "/v1.51/images/body?force=1").status == 200
