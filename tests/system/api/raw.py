"""Requests to a daemon byte by byte: what no HTTP library would send."""

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body; status 0 when the connection ended without an answer."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        """The words of an error, or the text itself."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return str(json.loads(self.body)["message"])
        return self.body.decode(errors="replace").strip()

    def json(self) -> Any:
        """The body as plain values."""
        return json.loads(self.body)


def exchange(path: str, data: bytes) -> Answer:
    """Send bytes on a connection of their own and read until the daemon closes it."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(1 << 16):
                parts.append(part)
    return parse(b"".join(parts))


def parse(raw: bytes) -> Answer:
    """The first answer in what a daemon sent."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return Answer(0, raw)
    if b"transfer-encoding: chunked" in head.lower():
        body = _unchunk(body)
    return Answer(int(head.split(b" ", 2)[1]), body)


def _unchunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        out, data = out + rest[:length], rest[length + 2 :]
    return out


def request(method: str, target: str, body: bytes | None = None, kind: str | None = "application/json") -> bytes:
    """A request as bytes; `kind` None leaves the content type out."""
    head = f"{method} {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: {kind}\r\n" if kind is not None else ""
        head += f"Content-Length: {len(body)}\r\n"
    return head.encode("latin-1") + b"\r\n" + (body or b"")


class Client:
    """Short ways to ask one daemon."""

    def __init__(self, path: str) -> None:
        self.path = path

    def ask(self, method: str, target: str, body: Any = None) -> Answer:
        """A request with a JSON body, or none."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return exchange(self.path, request(method, target, data))

    def create(self, config: dict[str, Any], name: str = "") -> Answer:
        """POST /containers/create of busybox without a network, unless the config says otherwise."""
        host = {"NetworkMode": "none", **config.get("HostConfig", {})}
        body = {"Image": "busybox", **config, "HostConfig": host}
        return self.ask("POST", "/v1.51/containers/create" + (f"?name={name}" if name else ""), body)

    def run(self, config: dict[str, Any]) -> Answer:
        """Create, start, wait, remove: the first failure, or status 0 to 255 with what it printed."""
        made = self.create({**config, "Tty": True})
        if made.status != 201:
            return made
        container = f"/v1.51/containers/{made.json()['Id']}"
        try:
            started = self.ask("POST", f"{container}/start")
            if started.status != 204:
                return started
            code = self.ask("POST", f"{container}/wait").json()["StatusCode"]
            printed = self.ask("GET", f"{container}/logs?stdout=1&stderr=1").body
            return Answer(code, printed.replace(b"\r\n", b"\n"))
        finally:
            self.ask("DELETE", f"{container}?force=1&v=1")
