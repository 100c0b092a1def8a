"""One request of the fuzz run, and what came of it."""

import contextlib
import json
import socket
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from tests.system.api.raw import parse

API = "/v1.51"
SECONDS = 1.0
"""How long an answer may be awaited; streams (events, logs, stats, attach, wait) are left then."""
MAX_READ = 1 << 20
LIMIT = 30.0
"""When not even a head came within this time there was no answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request: method, path with `{parameters}`, their values, the query, a JSON value or bytes as its body."""

    method: str
    path: str
    parameters: dict[str, Any]
    query: dict[str, Any]
    body: Any = None

    @property
    def label(self) -> str:
        """`GET /containers/{id}/json`."""
        return f"{self.method} {self.path}"

    def target(self) -> str:
        """Path and query as they are sent, after RFC 3986."""
        path = self.path
        for name, value in self.parameters.items():
            text = str(value)
            path = path.replace("{" + name + "}", text if "%" in text else quote(text, safe="", errors="replace"))
        pairs = []
        for name, value in self.query.items():
            for item in value if isinstance(value, list) else [value]:
                text = item if isinstance(item, str) else json.dumps(item)
                pairs.append(f"{quote(str(name), safe='', errors='replace')}={quote(text, safe='', errors='replace')}")
        return API + path + ("?" + "&".join(pairs) if pairs else "")

    def data(self) -> bytes | None:
        """The body's bytes."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode("utf-8", errors="surrogatepass")

    def __str__(self) -> str:
        return f"{self.method} {self.target()[:300]} {(self.data() or b'')[:300]!r}"


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer: status 0 for none, unless the connection became a stream."""

    status: int
    words: str
    seconds: float
    streams: bool = False


def send(path: str, wanted: Wanted) -> Sent:
    """Ask on a connection of its own, read for a bounded time. HEAD has no words: those of an error are GET's."""
    sent = _sent(path, wanted)
    if wanted.method == "HEAD" and sent.status == 500:
        return replace(sent, words=_sent(path, replace(wanted, method="GET")).words)
    return sent


def _sent(path: str, wanted: Wanted) -> Sent:
    data = wanted.data()
    head = f"{wanted.method} {wanted.target()} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
    if data is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    started = time.monotonic()
    received = b""
    error = ""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(head.encode("ascii", errors="replace") + b"\r\n" + (data or b""))
        try:
            while len(received) < MAX_READ and (part := client.recv(1 << 16)):
                received += part
                client.settimeout(SECONDS)
        except (TimeoutError, ConnectionResetError) as problem:
            error = repr(problem)
    took = time.monotonic() - started
    if received.startswith(b"HTTP/1.1 101"):
        return Sent(101, "", took, True)
    try:
        answer = parse(received)
    except ValueError:  # a stream that was left between two chunks
        answer = parse(received.partition(b"\r\n\r\n")[0].replace(b"chunked", b"left") + b"\r\n\r\n")
    return Sent(answer.status, answer.message or error, took)
