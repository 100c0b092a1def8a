"""An HTTP client of one socket that costs little: what is timed through it is the server."""

import contextlib
import json
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from bench.engines import Engine

PREFIX = "/v1.51"


class Asker:
    """One connection that is kept."""

    def __init__(self, engine: Engine) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(engine.host.removeprefix("unix://"))
        self._left = b""

    def send(self, method: str, target: str, body: bytes = b"", fields: str = "") -> None:
        """A request, not waited for; `fields` are further headers."""
        head = f"{method} {PREFIX}{target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n{fields}"
        self.socket.sendall((head + f"Content-Length: {len(body)}\r\n\r\n").encode() + body)

    def upload(self, target: str, parts: Iterable[bytes]) -> bytes:
        """POST a body in chunks; the answer."""
        head = f"POST {PREFIX}{target} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
        self.socket.sendall((head + "Transfer-Encoding: chunked\r\n\r\n").encode())
        for part in parts:
            self.socket.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        self.socket.sendall(b"0\r\n\r\n")
        return self.answer()

    def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }

    def answer(self) -> bytes:
        """The answer's body; raises RuntimeError for a refusal."""
        status, fields = self.head()
        if status in (204, 304):
            return b""
        whole = "transfer-encoding" not in fields
        data = self._take(int(fields["content-length"])) if whole else b"".join(iter(self.chunk, b""))
        if status >= 400:
            raise RuntimeError(f"{status}: {data[:300]!r}")
        return data

    def ask(self, method: str, target: str, body: Any = None) -> bytes:
        """A request and its answer's body."""
        self.send(method, target, json.dumps(body).encode() if body is not None else b"")
        return self.answer()

    def chunk(self) -> bytes:
        """The next chunk of a streamed answer; b"" is its end."""
        while b"\r\n" not in self._left:
            self._more()
        size, _, self._left = self._left.partition(b"\r\n")
        return self._take(int(size, 16) + 2)[:-2]

    def _take(self, count: int) -> bytes:
        parts, have = [self._left], len(self._left)
        while have < count:
            parts.append(self._receive())
            have += len(parts[-1])
        data = b"".join(parts)
        self._left = data[count:]
        return data[:count]

    def _more(self) -> None:
        self._left += self._receive()

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the daemon closed the connection")
        return data


@contextlib.contextmanager
def asker(engine: Engine) -> Iterator[Asker]:
    """A connection that is closed behind."""
    made = Asker(engine)
    with made.socket:
        yield made


def create(ask: Asker, name: str, command: list[str]) -> None:
    """A container of busybox without a network."""
    body = {"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
    ask.ask("POST", f"/containers/create?name={name}", body)
