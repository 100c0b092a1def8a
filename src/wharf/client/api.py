"""The client of the Engine API: requests with a negotiated version, connections used again, streams by hijack."""

from __future__ import annotations

import os

from wharf.client import jsontext
from wharf.client.address import Address
from wharf.client.http import ApiError, Connection, Response, error_of
from wharf.errors import Unavailable, WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

API_VERSION = "1.51"
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")
_TOO_NEW = "Maximum supported API version is "


def quote(text: str, safe: str = "") -> str:
    """Percent-encoding of a path segment or query value (RFC 3986)."""
    keep = safe.encode()
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _SAFE or byte in keep else f"%{byte:02X}" for byte in data)


def query(parameters: dict[str, Any]) -> str:
    """A query string with its `?`; None and empty strings are left out, True is 1, dicts and lists are JSON."""
    pairs = []
    for name, value in parameters.items():
        if value is None or value == "" or value is False:
            continue
        if isinstance(value, dict | list):
            value = jsontext.dumps(value)
        pairs.append(f"{quote(name)}={quote('1' if value is True else str(value))}")
    return "?" + "&".join(pairs) if pairs else ""


class Client:
    """A daemon at one address."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.version = os.environ.get("DOCKER_API_VERSION") or API_VERSION
        self._idle: list[Connection] = []

    def connect(self) -> None:
        """Makes the first connection now; raises ConnectFailed when nothing answers."""
        self._idle.append(Connection(self.address))

    def close(self) -> None:
        """Closes idle connections."""
        while self._idle:
            self._idle.pop().close()

    def get(self, path: str, **parameters: Any) -> Any:
        """GET a JSON answer."""
        return self._json(self.request("GET", path + query(parameters)))

    def post(self, path: str, body: Any = None, **parameters: Any) -> Any:
        """POST a JSON body; the JSON answer, or None when there is none."""
        return self._json(self.request("POST", path + query(parameters), body))

    def delete(self, path: str, **parameters: Any) -> Any:
        """DELETE; the JSON answer, or None."""
        return self._json(self.request("DELETE", path + query(parameters)))

    def _json(self, response: Response) -> Any:
        body = response.read_all()
        self.release(response)
        try:
            return jsontext.loads(body) if body.strip() else None
        except ValueError as error:
            raise Unavailable(f"the daemon's answer is not JSON: {error}") from None

    def release(self, response: Response) -> None:
        """Takes the connection of an answer that was read to its end for the next request."""
        if response.connection.reusable and response.headers.get("connection", "").lower() != "close":
            self._idle.append(response.connection)
        else:
            response.connection.close()

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Response:
        """Sends a request whose body is JSON (or none); raises ApiError for a status of 400 and above.

        A daemon that is older than this client says so in its refusal; then its own version is taken.
        """
        payload = b"" if body is None else jsontext.dumps(body).encode("utf-8", "surrogateescape")
        fields = dict(headers or {})
        if body is not None:
            fields["Content-Type"] = "application/json"
        if method != "GET" or payload:
            fields["Content-Length"] = str(len(payload))
        try:
            return self._send(method, path, fields, payload)
        except ApiError as error:
            if error.status != 400 or _TOO_NEW not in error.message:
                raise
            self.version = error.message.partition(_TOO_NEW)[2].strip().rstrip(".")
        return self._send(method, path, fields, payload)

    def _send(self, method: str, path: str, fields: dict[str, str], payload: bytes) -> Response:
        target = path if path.startswith("/wharf/") else f"/v{self.version}{path}"
        connection, response = None, None
        if self._idle:
            connection = self._idle.pop()
            try:
                connection.send(method, target, fields, payload)
                response = connection.read_head(method)
            except (OSError, Unavailable):
                # An idle connection may have been closed meanwhile; only a request without effect is sent again.
                connection.close()
                if method not in ("GET", "HEAD"):
                    raise
        if response is None:
            connection = Connection(self.address)
            connection.send(method, target, fields, payload)
            response = connection.read_head(method)
        return self._checked(response)

    def _checked(self, response: Response) -> Response:
        if response.status >= 400:
            error = error_of(response)
            self.release(response)
            raise error
        return response

    def upload(
        self, method: str, path: str, chunks: Iterable[bytes], headers: dict[str, str] | None = None
    ) -> Response:
        """Sends a body of unknown length in chunks; an early refusal of the daemon ends the sending."""
        connection = Connection(self.address)
        target = path if path.startswith("/wharf/") else f"/v{self.version}{path}"
        fields = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked", **(headers or {})}
        try:
            connection.send_head(method, target, fields)
            for chunk in chunks:
                if chunk:
                    connection.sock.sendall(b"%x\r\n" % len(chunk))
                    connection.sock.sendall(chunk)
                    connection.sock.sendall(b"\r\n")
            connection.sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon has answered and closed: the answer says why
        return self._checked(connection.read_head(method))

    def hijack(self, path: str, body: Any = None) -> tuple[Connection, Response]:
        """POSTs and turns the connection into a two-way stream; `connection.early` holds bytes that came with the head.

        Raises ApiError when the daemon refuses.
        """
        connection = Connection(self.address)
        payload = b"" if body is None else jsontext.dumps(body).encode("utf-8", "surrogateescape")
        fields = {"Connection": "Upgrade", "Upgrade": "tcp", "Content-Length": str(len(payload))}
        fields["Content-Type"] = "text/plain" if body is None else "application/json"
        connection.send("POST", f"/v{self.version}{path}", fields, payload)
        response = self._checked(connection.read_head("POST"))
        return connection, response

    def lines(self, response: Response) -> Iterator[Any]:
        """The JSON values of a stream of lines, as they come."""
        rest = b""
        while data := response.read():
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                if line.strip():
                    yield jsontext.loads(line)
        if rest.strip():
            yield jsontext.loads(rest)

    def require_wharf(self, what: str) -> None:
        """Raises WharfError with a plain sentence when the server is not Wharf (Docker, Podman …)."""
        try:
            self.request("GET", "/wharf/v1/_ping").read_all()
        except ApiError as error:
            if error.status != 404:
                raise
            raise WharfError(f"{what} is a feature of Wharf, and the server at {self.address} is not Wharf") from None
