"""HTTP values of the registry: what a handler receives (`Request`) and returns (`Response`). No socket is touched.

The head is parsed here, strictly (RFC 9112): what two readers could understand differently is refused, never mended.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import BinaryIO, Protocol
from urllib.parse import parse_qsl, unquote

from wharf.registry.server.errors import RegistryError

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers together; bearer tokens for many scopes need some."""
MAX_HEADERS = 200
MAX_QUERY_FIELDS = 100

_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,16384}) HTTP/1\.([01])\Z")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ONCE = frozenset(("content-length", "transfer-encoding", "host", "authorization", "content-range", "range"))


class BadRequest(Exception):
    """The bytes are no HTTP request that we understand; the connection cannot go on."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Body(Protocol):
    """The payload of a request. `length` is None when it comes in chunks."""

    length: int | None

    def pump(self, sink: Callable[[memoryview], None]) -> int:
        """Give every piece to `sink`; the number of bytes. Raises ConnectionError when the client goes away."""
        ...

    def read(self, limit: int) -> bytes:
        """The whole payload; raises RegistryError (413) above `limit` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """A parsed request head; `target` is as it was sent, header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    minor: int

    @property
    def keep(self) -> bool:
        """Whether the client wants another request on this connection."""
        return self.minor == 1 and "close" not in self.headers.get("connection", "").lower()


@dataclass(slots=True)
class Request:
    """One request. `path` is decoded; `client` is the peer's address; `user` is set by authentication."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: Body
    client: str = ""
    scheme: str = "http"
    user: str = ""
    repository: str = ""

    def text(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    @property
    def origin(self) -> str:
        """`scheme://host` by which the client reached us."""
        return f"{self.scheme}://{self.headers.get('host', 'localhost')}"


@dataclass(frozen=True, slots=True)
class FilePart:
    """`length` bytes of an open file from `offset`; whoever sends it closes the file."""

    file: BinaryIO
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Relay:
    """A body that comes in pieces while it is fetched from elsewhere; `length` bytes in all."""

    chunks: Iterator[bytes]
    length: int


@dataclass(slots=True)
class Response:
    """An answer. For HEAD the body is measured and not sent; `length` overrides the measure."""

    status: int = 200
    body: bytes | FilePart | Relay = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


def parse_head(data: bytes) -> Head:
    """Parse a head without its final empty line; raises BadRequest."""
    lines = data.split(b"\r\n")
    match = _LINE.match(lines[0])
    if match is None:
        raise BadRequest("malformed request line")
    if len(lines) > MAX_HEADERS + 1:
        raise BadRequest("too many headers", 431)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.match(name) or _BAD_VALUE.search(value):
            raise BadRequest("malformed header")
        key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        if key in headers:
            if key in _ONCE:
                raise BadRequest(f"header {key} is given twice")
            text = f"{headers[key]}, {text}"
        headers[key] = text
    minor = int(match[3])
    if minor == 1 and "host" not in headers:
        raise BadRequest("header host is missing")
    return Head(match[1].decode(), match[2].decode("ascii"), headers, minor)


def body_length(headers: Mapping[str, str]) -> int | None:
    """Bytes of the body, None when chunked; raises BadRequest for what cannot be framed."""
    coding = headers.get("transfer-encoding", "").lower()
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers:
        if coding != "chunked" or "content-length" in headers:
            raise BadRequest("unsupported transfer encoding")
        return None
    if "content-length" not in headers:
        return 0
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        raise BadRequest("invalid Content-Length")
    return int(length)


def split_target(target: str) -> tuple[str, dict[str, list[str]]]:
    """Decoded path and query; raises RegistryError."""
    if not target.startswith("/"):
        raise RegistryError("REQUEST_INVALID", "the request target must be a path")
    path, _, query = target.partition("?")
    if _BAD_ESCAPE.search(target):
        raise RegistryError("REQUEST_INVALID", "invalid URL escape")
    fields: dict[str, list[str]] = {}
    try:
        decoded = unquote(path, errors="strict") if "%" in path else path
        if query:
            for name, value in parse_qsl(
                query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict"
            ):
                fields.setdefault(name, []).append(value)
    except ValueError as error:
        raise RegistryError("REQUEST_INVALID", f"malformed request target: {error}") from None
    return decoded, fields


def response_head(status: int, headers: Mapping[str, str]) -> bytes:
    """The head with its empty line; CR and LF in values are blanked so that none can split it."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Status"
    lines = [f"HTTP/1.1 {status} {reason}"]
    for name, value in headers.items():
        if "\r" in value or "\n" in value:
            value = value.replace("\r", " ").replace("\n", " ")
        lines.append(f"{name}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace")
