"""One daemon for the facts about containers that need one, and short ways to ask it."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.wharfd import Wharfd
from tests.system.api.raw import Answer, Client

V = "/v1.51"
DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A daemon by its API; containers are named by the test and removed after it."""

    daemon: Wharfd
    api: Client

    def post(self, path: str, body: Any = None) -> Answer:
        """POST below /v1.51."""
        return self.api.ask("POST", V + path, body)

    def get(self, path: str) -> Answer:
        """GET below /v1.51."""
        return self.api.ask("GET", V + path)

    def create(self, name: str, *command: str, host: dict[str, Any] | None = None, **config: Any) -> str:
        """A container without a network, unless `host` says otherwise; its id."""
        answer = self.api.create({"Cmd": list(command), "HostConfig": host or {}, **config}, name)
        assert answer.status == 201, answer
        return str(answer.json()["Id"])

    def start(self, name: str, *command: str, host: dict[str, Any] | None = None, **config: Any) -> str:
        """The same, started."""
        made = self.create(name, *command, host=host, **config)
        answer = self.post(f"/containers/{name}/start")
        assert answer.status == 204, answer
        return made

    def output(self, name: str, *command: str, host: dict[str, Any] | None = None, **config: Any) -> str:
        """What a container printed on its terminal, once it has ended."""
        self.start(name, *command, host=host, Tty=True, **config)
        self.post(f"/containers/{name}/wait")
        return self.get(f"/containers/{name}/logs?stdout=1").body.decode().replace("\r\n", "\n")

    def inspect(self, name: str) -> dict[str, Any]:
        """The whole document."""
        answer = self.get(f"/containers/{name}/json")
        assert answer.status == 200, answer
        found: dict[str, Any] = answer.json()
        return found

    def state(self, name: str) -> dict[str, Any]:
        """`State` of the document."""
        found: dict[str, Any] = self.inspect(name)["State"]
        return found

    def until_said(self, name: str, word: str) -> None:
        """Follow the log until `word` is in it."""
        with self.open("GET", f"{V}/containers/{name}/logs?stdout=1&follow=1") as stream:
            seen = b""
            while word.encode() not in seen:
                piece = stream.recv(4096)
                assert piece, seen
                seen += piece

    def until(self, name: str, **wanted: Any) -> dict[str, Any]:
        """Ask until the state has these values: there is no event for what is awaited here."""
        deadline = time.monotonic() + DEADLINE
        while True:
            document = self.inspect(name)
            seen = {**document["State"], "RestartCount": document["RestartCount"]}
            if all(seen[key] == value for key, value in wanted.items()):
                return seen
            assert time.monotonic() < deadline, seen
            time.sleep(0.02)

    def open(self, method: str, target: str, body: Any = None, upgrade: bool = False) -> socket.socket:
        """A connection on which the request was sent."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {target} HTTP/1.1\r\nHost: d\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        head += "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else "Connection: close\r\n"
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(DEADLINE)
        client.connect(self.api.path)
        client.sendall(head.encode() + b"\r\n" + data)
        return client

    def raw(self, method: str, target: str, body: Any = None, upgrade: bool = False) -> tuple[dict[str, str], bytes]:
        """Headers (`""` is the first line) and the rest, to the end of the connection or of the answer's length."""
        with self.open(method, target, body, upgrade) as client:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = client.recv(65536)
                assert piece, data
                data += piece
            first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            headers = {"": first, **dict(line.split(": ", 1) for line in lines)}
            rest = data.partition(b"\r\n\r\n")[2]
            wanted = int(headers.get("Content-Length", -1))
            while (wanted < 0 or len(rest) < wanted) and (piece := client.recv(65536)):
                rest += piece
        return headers, rest

    def events(self, since: float, until: float, **filters: list[str]) -> list[dict[str, Any]]:
        """What happened between two moments."""
        query = f"since={since:.9f}&until={until:.9f}&filters={json.dumps(filters)}"
        answer = self.get(f"/events?{query.replace(' ', '')}")
        return [json.loads(line) for line in answer.body.splitlines()]


@pytest.fixture(scope="session")
def shared_daemon() -> Iterator[Wharfd]:
    """One for all tests of this folder in a test process."""
    with Wharfd() as daemon:
        daemon.load_busybox()
        yield daemon


@pytest.fixture
def engine(shared_daemon: Wharfd) -> Iterator[Engine]:
    """The daemon; it has no container before and after a test."""
    found = Engine(shared_daemon, Client(shared_daemon.socket))
    yield found
    for item in found.get("/containers/json?all=1").json():
        answer = found.api.ask("DELETE", f"{V}/containers/{item['Id']}?force=1&v=1")
        assert answer.status in (204, 404), answer
