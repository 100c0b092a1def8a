"""A container's streams: attach, logs, wait, resize, stats."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from wharf.api.detach import parse_keys
from wharf.api.errors import status_of
from wharf.api.http import Answer, Hijack, Reply, Request, Stream
from wharf.api.relay import Source, relay, say
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.api.streams import produced
from wharf.api.websocket import FramedTransport, WebSocketProtocol, accept
from wharf.engine.attach import Attached, AttachRequest, attach_container
from wharf.engine.logs import LogsRequest, LogStream, open_logs
from wharf.engine.resize import resize_container
from wharf.engine.stats import sample_stats
from wharf.engine.wait import wait_container
from wharf.errors import Conflict, Invalid, NotFound, WharfError
from wharf.spec.detach import DetachFilter
from wharf.wire.codec import encode

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
STATS_SECONDS = 1.0


def stream_type(request: Request, tty: bool, upgraded: bool = True) -> str:
    """The media type of a container's output; old clients and plain 200 hijacks know only the raw one."""
    return MULTIPLEXED if upgraded and not tty and request.version >= (1, 42) else RAW


async def attach(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/attach: 101 at once, joined with the process when it starts."""
    wanted = AttachRequest(
        stdin=request.flag("stdin"),
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        stream=request.flag("stream"),
        logs=request.flag("logs"),
    )
    try:
        keys = parse_keys(request.text("detachKeys"))
        attached = await api.run(attach_container, api.engine, request.names["id"], wanted)
    except WharfError as error:  # in plain text, as after a hijack
        return Reply(status_of(error), f"{error}\r\n".encode(), RAW)
    kind = stream_type(request, attached.tty, request.upgrades)
    history = _history(api, attached)
    if attached.stream is None and history is None:
        return Hijack(say(b""), kind)

    def ended(detached: bool) -> None:
        if detached:
            api.spawn(api.run(attached.detached))

    stdin = DetachFilter(keys) if wanted.stdin and attached.tty else None
    return Hijack(relay(Source(attached.stream, stdin, ended, history)), kind)


def _history(api: Api, attached: Attached) -> Callable[[], AsyncIterator[bytes]] | None:
    """What makes the log so far, None where the client did not ask for it."""
    replay = attached.replay
    if replay is None:
        return None

    async def past() -> AsyncIterator[bytes]:
        stream = await produced(api, lambda out: replay(out.write), RAW)
        async for chunk in stream.chunks:
            yield chunk

    return past


async def attach_ws(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/attach/ws: the same over a websocket, both streams as they come."""
    wanted = AttachRequest(
        stdin=request.flag("stdin"),
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        stream=request.flag("stream"),
        logs=request.flag("logs"),
        framed=False,
    )
    keys = parse_keys(request.text("detachKeys"))
    key = accept(request.headers)
    attached = await api.run(attach_container, api.engine, request.names["id"], wanted)
    history = _history(api, attached)

    def ended(detached: bool) -> None:
        if detached:
            api.spawn(api.run(attached.detached))

    stdin = DetachFilter(keys) if wanted.stdin and attached.tty else None
    take = relay(Source(attached.stream, stdin, ended, history))

    def taken(transport: asyncio.Transport, early: bytes, eof: bool) -> asyncio.BaseProtocol:
        out = FramedTransport(transport)
        inner = take(out, b"", eof)
        assert isinstance(inner, asyncio.Protocol)
        protocol = WebSocketProtocol(out, inner)
        protocol.data_received(early)
        return protocol

    return Hijack(taken, RAW, headers={"Sec-WebSocket-Accept": key})


async def logs(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/logs"""
    wanted = LogsRequest(
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        follow=request.flag("follow"),
        since=request.text("since"),
        until=request.text("until"),
        timestamps=request.flag("timestamps"),
        details=request.flag("details"),
        tail=request.text("tail"),
    )
    if not wanted.stdout and not wanted.stderr:
        raise Invalid("Bad parameters: you must choose at least one stream")
    found = await api.run(open_logs, api.engine, request.names["id"], wanted)
    return Stream(_log_chunks(api, found), stream_type(request, found.tty), at_once=True)


async def _log_chunks(api: Api, stream: LogStream) -> AsyncIterator[bytes]:
    try:
        while True:
            chunk = await api.run(stream.read)
            if chunk:
                yield chunk
            elif stream.finished:
                return
            else:
                await asyncio.wrap_future(stream.changed())
    finally:
        stream.close()


async def wait(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/wait: the head at once, the result when there is one."""
    result = await api.run(wait_container, api.engine, request.names["id"], request.text("condition"))

    async def chunks() -> AsyncIterator[bytes]:
        ended = await asyncio.wrap_future(result)
        answer: dict[str, Any] = {"StatusCode": ended.status_code}
        if ended.error:
            answer["Error"] = {"Message": ended.error}
        yield encode(answer)

    return Stream(chunks(), at_once=True)


def size_of(request: Request) -> tuple[int, int]:
    """Height and width of a resize; raises Invalid with moby's words."""
    sizes = []
    for name, word in (("h", "height"), ("w", "width")):
        text = request.text(name)
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise Invalid(f'invalid resize {word} "{text[:100]}": invalid syntax')
        sizes.append(min(int(text), 65535))
    return sizes[0], sizes[1]


async def resize(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/resize"""
    height, width = size_of(request)
    await api.run(resize_container, api.engine, request.names["id"], height, width)
    return Reply(200, content_type="")


async def stats(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/stats: one sample a second, or one."""
    name = request.names["id"]
    streaming = request.flag("stream", default=True)
    if streaming and request.flag("one-shot"):
        raise Invalid("cannot have stream=true and one-shot=true")
    first = await api.run(sample_stats, api.engine, name, None)
    if not streaming:
        if not request.flag("one-shot") and first.get("pids_stats"):
            await asyncio.sleep(STATS_SECONDS)
            first = await api.run(sample_stats, api.engine, name, first)
        return Reply(200, encode(first))
    return Stream(_samples(api, name, first), content_type="", at_once=True)  # Docker names none for a stream


async def _samples(api: Api, name: str, sample: Any) -> AsyncIterator[bytes]:
    while True:
        yield encode(sample)
        await asyncio.sleep(STATS_SECONDS)
        try:
            sample = await api.run(sample_stats, api.engine, name, sample)
        except (NotFound, Conflict):
            return


ROUTES = (
    Route("POST", "/containers/{id}/attach", attach),
    Route("GET", "/containers/{id}/attach/ws", attach_ws),
    Route("GET", "/containers/{id}/logs", logs),
    Route("POST", "/containers/{id}/wait", wait),
    Route("POST", "/containers/{id}/resize", resize),
    Route("GET", "/containers/{id}/stats", stats),
)
