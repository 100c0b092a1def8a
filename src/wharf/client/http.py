"""HTTP/1.1 as a client of the Engine API needs it, over `_socket` alone.

One connection carries one request at a time and is used again when its answer was read to the end; a hijacked one
(101, or 200 with a raw stream) becomes a plain two-way byte stream. `http.client` and `socket` are not imported:
together they take longer than a whole `wharf ps` may.
"""

from __future__ import annotations

import _socket

from wharf.client import jsontext
from wharf.client.address import Address
from wharf.errors import Unavailable, WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CHUNK = 65536
MAX_HEADER = 1 << 20
MAX_ERROR_BODY = 1 << 20


class ApiError(WharfError):
    """The daemon's refusal: its message as it came and the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
        self.from_daemon = True


class ConnectFailed(Unavailable):
    """Nothing answers at the address."""


def connect(address: Address) -> _socket.socket:
    """A connected socket; raises ConnectFailed with docker's words."""
    if address.ssh:
        from wharf.client import carried

        return carried.ssh(address)
    if address.path:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        target: Any = address.path
    else:
        info = _resolve(address)
        sock = _socket.socket(info[0], _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        target = info[4]
    try:
        sock.connect(target)
    except PermissionError:
        sock.close()
        raise ConnectFailed(
            f"permission denied while trying to connect to the daemon socket at {address}: connect: permission denied"
        ) from None
    except OSError:
        sock.close()
        raise ConnectFailed(f"Cannot connect to the daemon at {address}. Is wharfd running?") from None
    if address.tls:
        import socket

        from wharf.client import carried

        return carried.tls(address, socket.socket(fileno=sock.detach()))
    return sock


def _resolve(address: Address) -> Any:
    try:
        return _socket.getaddrinfo(address.host, address.port, 0, _socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConnectFailed(f"Cannot connect to the daemon at {address}: {error}") from None


class Response:
    """An answer whose body is read in pieces. `headers` has lower-case names."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], method: str) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        empty = method == "HEAD" or status in (204, 304)
        length = headers.get("content-length")
        self._left = 0 if empty else -1 if length is None or self._chunked else int(length)
        self._chunked = self._chunked and not empty
        self._in_chunk = 0
        self.finished = self._left == 0

    def read(self, limit: int = CHUNK) -> bytes:
        """Up to `limit` bytes of the body, b"" at its end; raises Unavailable when the daemon hangs up inside it."""
        if self.finished:
            return b""
        if self._chunked:
            return self._read_chunk(limit)
        data = self.connection.receive(limit if self._left < 0 else min(limit, self._left))
        if self._left > 0:
            if not data:
                raise Unavailable("the daemon closed the connection in the middle of its answer")
            self._left -= len(data)
        if self._left == 0 or not data:
            self.finished = True
            self.connection.reusable = self._left == 0
        return data

    def _read_chunk(self, limit: int) -> bytes:
        connection = self.connection
        if self._in_chunk == 0:
            size = connection.receive_line()
            self._in_chunk = int(size.split(b";")[0], 16)
            if self._in_chunk == 0:
                while connection.receive_line():
                    pass
                self.finished = connection.reusable = True
                return b""
        data = connection.receive(min(limit, self._in_chunk))
        if not data:
            raise Unavailable("unexpected EOF")
        self._in_chunk -= len(data)
        if self._in_chunk == 0:
            connection.receive_line()
        return data

    def read_all(self, limit: int = 1 << 30) -> bytes:
        """The rest of the body; raises Unavailable beyond `limit` bytes."""
        parts: list[bytes] = []
        total = 0
        while data := self.read():
            parts.append(data)
            total += len(data)
            if total > limit:
                raise Unavailable(f"the daemon's answer is larger than {limit} bytes")
        return b"".join(parts)

    def json(self) -> Any:
        """The whole body as JSON; raises Unavailable when it is not."""
        body = self.read_all()
        try:
            return jsontext.loads(body)
        except ValueError as error:
            raise Unavailable(f"the daemon's answer is not JSON: {error}") from None

    def close(self) -> None:
        """Gives the connection up when the body was not read to its end."""
        if not self.finished:
            self.connection.close()


class Connection:
    """One connection to the daemon."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.sock = connect(address)
        self.early = b""
        self.reusable = True

    def close(self) -> None:
        """Closes the socket; harmless when closed already."""
        self.reusable = False
        self.sock.close()

    def receive(self, limit: int = CHUNK) -> bytes:
        """Up to `limit` bytes, b"" at the end of the stream."""
        if self.early:
            data, self.early = self.early[:limit], self.early[limit:]
            return data
        try:
            return self.sock.recv(limit)
        except ConnectionResetError:
            return b""

    def receive_line(self) -> bytes:
        """A line without its end; raises Unavailable when it does not come or is too long."""
        while b"\n" not in self.early:
            data = self.sock.recv(CHUNK)
            if not data:
                raise Unavailable("unexpected EOF")
            self.early += data
            if len(self.early) > MAX_HEADER + CHUNK:
                raise Unavailable("the daemon's answer has a line without end")
        line, _, self.early = self.early.partition(b"\n")
        return line.rstrip(b"\r")

    def send_head(self, method: str, path: str, headers: dict[str, str]) -> None:
        """Sends the request line and headers; a body, if any, follows by `sock.sendall`."""
        lines = [f"{method} {path} HTTP/1.1", "Host: wharf.localhost", "User-Agent: Wharf-Client"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.reusable = False
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        """Sends a whole request. A daemon that hangs up before it has all of it has answered, or refuses to:
        `read_head` says which.
        """
        try:
            self.send_head(method, path, headers)
            self.sock.sendall(body)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read_head(self, method: str) -> Response:
        """The answer's status and headers; raises Unavailable when none comes or it is not HTTP."""
        while b"\r\n\r\n" not in self.early:
            try:
                data = self.sock.recv(CHUNK)
            except ConnectionResetError:
                data = b""
            if not data:
                why = getattr(self.sock, "refusal", "")  # what TLS was told
                raise Unavailable("the daemon closed the connection without an answer" + (why and f": {why}"))
            self.early += data
            if len(self.early) > MAX_HEADER:
                raise Unavailable("the daemon's answer has a header without end")
        head, _, self.early = self.early.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Unavailable(f"what answers at {self.address} does not speak HTTP")
        headers = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        response = Response(self, int(words[1]), headers, method)
        self.reusable = response.finished
        return response


def error_of(response: Response) -> ApiError:
    """The daemon's error as an exception: JSON `message`, or the text as it is."""
    body = response.read_all(MAX_ERROR_BODY)
    text = body.decode("utf-8", "replace").strip()
    try:
        message = jsontext.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        message = text or f"request returned status {response.status} without a message"
    return ApiError(str(message), response.status)
