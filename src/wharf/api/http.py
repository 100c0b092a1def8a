"""HTTP values of the edge: what a handler receives (`Request`) and what it may return (`Reply`, `Stream`, `Hijack`).

No socket is touched here. A handler is `async def handler(api, request) -> Answer`; it raises the classes of
`wharf.errors`, which `errors.py` turns into Docker's statuses.
"""

import asyncio
import functools
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from wharf.api.body import Body
from wharf.errors import Internal, Invalid

MAX_HEAD_BYTES = 256 << 10
"""Request line and headers together; Go's net/http allows 1 MiB, registry credentials for builds need some."""
MAX_JSON_BYTES = 4 << 20
"""A create request may carry a whole seccomp profile; nothing legitimate is larger."""
MAX_QUERY_FIELDS = 1000
FALSE_WORDS = frozenset(("", "0", "no", "false", "none"))

_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(slots=True)
class Request:
    """One request. `path` is decoded and has no version prefix; header names are lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Body
    version: tuple[int, int] = (1, 51)
    names: dict[str, str] = field(default_factory=dict)
    """What the route's pattern matched."""

    def text(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def all(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return self.query.get(name, [])

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean by Docker's rule: "", 0, no, false and none (any case) are false, everything else true."""
        values = self.query.get(name)
        return values[0].strip().lower() not in FALSE_WORDS if values else default

    def number(self, name: str, default: int | None = None) -> int | None:
        """An integer parameter; `default` when absent or empty. Raises Internal with Go's words, as moby does."""
        text = self.text(name)
        if not text:
            return default
        if not _INTEGER.match(text):
            raise Internal(f'strconv.Atoi: parsing "{text[:100]}": invalid syntax')
        if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
            raise Internal(f'strconv.Atoi: parsing "{text[:100]}": value out of range')
        return int(text)

    @property
    def number_of_bytes(self) -> int | None:
        """The length of the body, None when it comes in chunks."""
        if "transfer-encoding" in self.headers:
            return None
        return int(self.headers.get("content-length", "0") or "0")

    @property
    def upgrades(self) -> bool:
        """True when the client asks to switch protocols."""
        return "upgrade" in self.headers


@dataclass(slots=True)
class Reply:
    """A complete answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)


@dataclass(slots=True)
class Stream:
    """An answer whose body comes in chunks. When the client goes away `chunks` is cancelled and closed."""

    chunks: AsyncIterator[bytes]
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    at_once: bool = False
    """Send the head before the first chunk exists."""


Hijacked = Callable[[asyncio.Transport, bytes, bool], asyncio.BaseProtocol]
"""Builds the protocol that takes over a connection after the 101 or 200.

It is given the transport, the bytes that the client sent ahead, and whether the client has closed its side already.
"""


@dataclass(slots=True)
class Hijack:
    """Hand the connection over. `cancel` undoes what was set up when the client is gone before that."""

    take: Hijacked
    content_type: str = "application/vnd.docker.raw-stream"
    cancel: Callable[[], None] = lambda: None
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Reply | Stream | Hijack


def parse_query(text: str) -> dict[str, list[str]]:
    """Query parameters by name; raises Invalid when there are too many or they are not UTF-8."""
    if not text:
        return {}
    wrong = _BAD_ESCAPE.search(text)
    if wrong:
        raise Invalid(f'invalid URL escape "{wrong[0]}"')
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError as error:
        raise Invalid(f"invalid query: {error}") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


@functools.lru_cache(maxsize=1)
def date_of(second: int) -> str:
    """The Date header at this second of Unix time (RFC 9110, section 5.6.7): made once a second, not per answer."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(second))


def head(status: int, headers: Mapping[str, Any], reason: str | None = None) -> bytes:
    """A response head. Values come from us or were checked; CR and LF are cut so that none can split it."""
    lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
    for name, value in headers.items():
        text = str(value)
        if "\r" in text or "\n" in text:
            text = text.replace("\r", " ").replace("\n", " ")
        lines.append(f"{name}: {text}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1", "replace")


REASONS = {
    100: "Continue",
    101: "UPGRADED",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    304: "Not Modified",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    413: "Request Entity Too Large",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
