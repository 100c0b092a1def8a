"""What handlers share: reading JSON bodies by Docker's rules, and building JSON answers."""

from typing import Any, TypeVar

from wharf.api.http import MAX_JSON_BYTES, Reply, Request
from wharf.errors import Invalid
from wharf.wire import codec
from wharf.wire.filters import parse_filters

T = TypeVar("T")

JSON = "application/json"


async def json_bytes(request: Request) -> bytes:
    """The body of a request that may carry JSON; raises Invalid for another content type (moby's CheckForJSON)."""
    data = await request.body.read(MAX_JSON_BYTES)
    kind = request.headers.get("content-type", "")
    if not kind and not data:
        return data
    if not kind.strip():
        raise Invalid("malformed Content-Type header (): mime: no media type")
    if kind.split(";")[0].strip().lower() != JSON:
        raise Invalid(f"unsupported Content-Type header ({kind[:100]}): must be 'application/json'")
    return data


async def json_body(request: Request, cls: type[T]) -> T:
    """The body as a dataclass; an empty one gives the defaults."""
    data = await json_bytes(request)
    _refuse_blank(data)
    return codec.decode(cls, data) if data else cls()


def _refuse_blank(data: bytes) -> None:
    if data and data.isspace():
        raise Invalid("invalid JSON: got EOF while reading request body")


async def json_map(request: Request) -> dict[str, Any]:
    """The body as a plain object; an empty one is {}."""
    data = await json_bytes(request)
    _refuse_blank(data)
    if not data:
        return {}
    raw = codec.parse(data)
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise Invalid("invalid JSON: not an object")
    return raw


def json_reply(value: Any, status: int = 200) -> Reply:
    """An answer with a dataclass, or anything made of dataclasses and plain values, as JSON."""
    return Reply(status, codec.encode(value))


def filters_of(request: Request) -> dict[str, list[str]]:
    """The request's filters; raises Invalid."""
    return parse_filters(request.text("filters"))


NO_CONTENT = Reply(204)
