"""Execs: create, start (hijacked or detached), resize, inspect."""

from wharf.api.detach import parse_keys
from wharf.api.http import Answer, Hijack, Reply, Request
from wharf.api.relay import Source, relay, say
from wharf.api.requests import json_body, json_reply
from wharf.api.router import Route
from wharf.api.routes.streams import size_of, stream_type
from wharf.api.server import Api
from wharf.engine.exec_create import create_exec
from wharf.engine.exec_inspect import inspect_exec
from wharf.engine.exec_start import ExecStart, start_exec
from wharf.engine.resize import resize_exec
from wharf.errors import Invalid
from wharf.spec.container import ExecConfig
from wharf.spec.detach import DetachFilter

STDOUT_FRAME = 1


async def exec_create(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/exec"""
    config = await json_body(request, ExecConfig)
    if not config.cmd:
        raise Invalid("No exec command specified")
    parse_keys(config.detach_keys, "escape")
    made = await api.run(create_exec, api.engine, request.names["id"], config)
    return json_reply({"Id": made}, 201)


async def exec_start(api: Api, request: Request) -> Answer:
    """POST /exec/{id}/start"""
    wanted = await json_body(request, ExecStart)
    started = await api.run(start_exec, api.engine, request.names["id"], wanted)
    if wanted.detach:
        return Reply(200, content_type="")
    kind = stream_type(request, wanted.tty, request.upgrades)
    if started.stream is None:
        return Hijack(say(failure_bytes(started.failure, wanted.tty)), kind)
    # Stdin that is not attached passes nowhere; the monitor drops it.
    stdin = DetachFilter(parse_keys(started.detach_keys, "escape")) if started.tty else None

    def ended(detached: bool) -> None:
        if detached:
            api.spawn(api.run(started.detached))

    return Hijack(relay(Source(started.stream, stdin, ended, settled=started.ended)), kind)


def failure_bytes(text: str, tty: bool) -> bytes:
    """Why an exec did not start, as moby writes it into the stream: on stdout, ended like a terminal's line."""
    if not text:
        return b""
    data = text.encode() + b"\r\n"
    return data if tty else bytes((STDOUT_FRAME, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


async def exec_resize(api: Api, request: Request) -> Answer:
    """POST /exec/{id}/resize"""
    height, width = size_of(request)
    await api.run(resize_exec, api.engine, request.names["id"], height, width)
    return Reply(200, content_type="")


async def exec_inspect(api: Api, request: Request) -> Answer:
    """GET /exec/{id}/json"""
    return json_reply(await api.run(inspect_exec, api.engine, request.names["id"]))


ROUTES = (
    Route("POST", "/containers/{id}/exec", exec_create),
    Route("POST", "/exec/{id}/start", exec_start),
    Route("POST", "/exec/{id}/resize", exec_resize),
    Route("GET", "/exec/{id}/json", exec_inspect),
)
