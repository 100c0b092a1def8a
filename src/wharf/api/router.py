"""Routes: a method and a pattern of the path lead to a handler.

Patterns are those of the API description: `/images/{name}/json`. A name may hold slashes, as moby's `{name:.*}`;
so of two routes that match, the first registered wins. An unknown path or method is 404 `page not found`.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from wharf.api.http import Answer, Request
from wharf.errors import Invalid, NotFound

MIN_VERSION = (1, 24)
MAX_VERSION = (1, 51)

Handler = Callable[[Any, Request], Awaitable[Answer]]

_PREFIX = re.compile(r"/v([0-9.]+)(/.*)\Z", re.DOTALL)
_VERSION = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?(?:\.[0-9.]*)?\Z")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


class TooOld(Invalid):
    """A client from before JSON errors: it is told in plain text."""


class BadTarget(Invalid):
    """A request target that is none; told in plain text, as Go's server does before anything of Docker's."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    pattern: str
    handler: Handler
    absent: str = ""
    """What the answer is while the feature is not there; docs/compatibility.md lists it."""


def version_text(version: tuple[int, int]) -> str:
    """`1.51` for (1, 51)."""
    return f"{version[0]}.{version[1]}"


def split_version(path: str) -> tuple[tuple[int, int], str]:
    """The API version asked for and the path without it; raises Invalid with Docker's words when out of range."""
    match = _PREFIX.match(path)
    if match is None:
        return MAX_VERSION, path
    text, rest = match.groups()
    parsed = _VERSION.match(text)
    version = (int(parsed[1]), int(parsed[2] or 0)) if parsed else (0, 0)
    if version < MIN_VERSION:
        raise TooOld(
            f"client version {text[:50]} is too old. Minimum supported API version is {version_text(MIN_VERSION)}, "
            "please upgrade your client to a newer version"
        )
    if version > MAX_VERSION:
        raise Invalid(
            f"client version {text[:50]} is too new. Maximum supported API version is {version_text(MAX_VERSION)}"
        )
    return version, rest


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._table: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in self.routes:
            key = (route.method, route.pattern.split("/")[1])
            parts = re.split(r"\{(\w+)\}", route.pattern)
            regex = "".join(f"(?P<{part}>.+)" if at % 2 else re.escape(part) for at, part in enumerate(parts))
            self._table.setdefault(key, []).append((re.compile(regex + r"\Z", re.DOTALL), route))

    def find(self, request: Request) -> Handler:
        """Sets the request's version, path and names; raises NotFound or Invalid."""
        if _BAD_ESCAPE.search(request.path):
            raise BadTarget("400 Bad Request")
        request.version, path = split_version(request.path)
        path = unquote(path)
        request.path = path
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        for regex, route in self._table.get((request.method, first), ()):
            match = regex.match(path)
            if match is not None:
                request.names = match.groupdict()
                return route.handler
        raise NotFound("page not found")
