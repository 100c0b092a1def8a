"""The daemon itself: ping, version, info, events, disk usage, and what only Wharf has."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from typing import Any

from wharf import __version__
from wharf.api.http import Answer, Reply, Request, Stream
from wharf.api.requests import filters_of, json_map, json_reply
from wharf.api.router import MAX_VERSION, MIN_VERSION, Route, version_text
from wharf.api.server import Api
from wharf.api.streams import progress
from wharf.engine.auth import check_login
from wharf.engine.disk_usage import disk_usage
from wharf.engine.distribution import Distributed, inspect_distribution
from wharf.engine.distribution_push import ManifestPush, push_manifest
from wharf.engine.image_bootstrap import BootstrapRequest, bootstrap_image
from wharf.engine.info import system_info
from wharf.engine.list import ListRequest, list_containers
from wharf.engine.version import version_info
from wharf.errors import Invalid
from wharf.spec.image import MAX_MANIFEST_SIZE
from wharf.wire.codec import dumps, to_wire
from wharf.wire.images import usage as image_usage
from wharf.wire.registry import login_of, parse_auth

MAX_EVENTS_QUEUED = 8192
"""Events that wait for a slow client before it is cut off."""
DF_TYPES = ("container", "image", "volume", "build-cache")

PING_HEADERS = {
    "Builder-Version": "2",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
}


async def ping(api: Api, request: Request) -> Answer:
    """GET and HEAD /_ping"""
    body = b"" if request.method == "HEAD" else b"OK"
    return Reply(200, body, "text/plain; charset=utf-8", PING_HEADERS)


async def version(api: Api, request: Request) -> Answer:
    """GET /version"""
    found = await api.run(
        version_info,
        api.engine,
        api_version=version_text(MAX_VERSION),
        min_api_version=version_text(MIN_VERSION),
    )
    return json_reply(found)


async def info(api: Api, request: Request) -> Answer:
    """GET /info"""
    return json_reply(await api.run(system_info, api.engine))


async def events(api: Api, request: Request) -> Answer:
    """GET /events"""
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(MAX_EVENTS_QUEUED)
    subscription = await api.run(
        api.engine.events.subscribe,
        filters_of(request),
        request.text("since"),
        request.text("until"),
        lambda event: _offer(queue, event),
    )
    return Stream(_event_lines(queue, subscription), at_once=True)


def _offer(queue: "asyncio.Queue[dict[str, Any] | None]", event: dict[str, Any]) -> None:
    """Runs on the loop. A client too slow for its events gets none out of order: its stream ends instead."""
    if queue.qsize() >= MAX_EVENTS_QUEUED - 1:
        if not queue.full():
            queue.put_nowait(None)
        return
    queue.put_nowait(event)


async def _event_lines(queue: "asyncio.Queue[dict[str, Any] | None]", subscription: Any) -> AsyncIterator[bytes]:
    over: asyncio.Future[Any] | None = None
    try:
        for event in subscription.backlog:
            yield dumps(to_wire(event)) + b"\n"
        if subscription.ended is not None:
            over = asyncio.wrap_future(subscription.ended)
            over.add_done_callback(lambda _: _finish(queue))
        while (event := await queue.get()) is not None:
            yield dumps(to_wire(event)) + b"\n"
    finally:
        if over is not None:
            over.cancel()
        subscription.close()


def _finish(queue: "asyncio.Queue[dict[str, Any] | None]") -> None:
    if not queue.full():
        queue.put_nowait(None)


async def df(api: Api, request: Request) -> Answer:
    """GET /system/df"""
    types = set(request.all("type")) or set(DF_TYPES)
    unknown = types - set(DF_TYPES)
    if unknown:
        raise Invalid(f"unknown object type: {sorted(unknown)[0][:100]}")
    usage = await api.run(disk_usage, api.engine, types)
    images = containers = None
    if "image" in types:
        images = [image_usage(to_wire(image), request.version) for image in usage.images or ()]
    if "container" in types:
        containers = await api.run(list_containers, api.engine, ListRequest(all=True, size=True))
    return json_reply(
        {
            "LayersSize": usage.layers_size,
            "Images": images,
            "Containers": containers,
            "Volumes": usage.volumes if "volume" in types else None,
            "BuildCache": await _build_cache(api, request) if "build-cache" in types else None,
        }
    )


async def _build_cache(api: Api, request: Request) -> list[Any]:
    """Nothing, and nothing is loaded for it, where nothing was ever built."""
    if not api.engine.database.build_cache.all():
        return []
    builds = await api.run(importlib.import_module, "wharf.api.builds")
    return await api.run(lambda: builds.cache_entries(api.builds.get(), request.version))


async def auth(api: Api, request: Request) -> Answer:
    """POST /auth: check a user's credentials at a registry."""
    login = login_of(await json_map(request))
    token = await api.run(check_login, api.engine, login)
    return json_reply({"IdentityToken": token, "Status": "Login Succeeded"})


async def distribution(api: Api, request: Request) -> Answer:
    """GET /distribution/{name}/json: what a name stands for at its registry."""
    return _descriptor(await _distributed(api, request))


async def wharf_distribution(api: Api, request: Request) -> Answer:
    """GET /wharf/v1/distribution/{name}/json?insecure=: the same, of a registry that may speak plain HTTP."""
    return _descriptor(await _distributed(api, request, insecure=request.flag("insecure")))


async def distribution_manifest(api: Api, request: Request) -> Answer:
    """GET /wharf/v1/distribution/{name}/manifest?insecure=: the manifest or index itself, as its registry sent it."""
    found = await _distributed(api, request, insecure=request.flag("insecure"))
    headers = {"Docker-Content-Digest": str(found.descriptor.digest)}
    return Reply(200, found.document, found.descriptor.media_type, headers)


async def distribution_push(api: Api, request: Request) -> Answer:
    """PUT /wharf/v1/distribution/{name}/manifest?from=&insecure=: a manifest list, with what its repository lacks."""
    document = await request.body.read(MAX_MANIFEST_SIZE)
    media = request.headers.get("content-type", "")
    login = parse_auth(request.headers.get("x-registry-auth", ""))
    wanted = ManifestPush(request.names["name"], media, document, request.all("from"), request.flag("insecure"))
    return json_reply({"Digest": str(await api.run(push_manifest, api.engine, wanted, login))}, 201)


def _descriptor(found: Distributed) -> Answer:
    return json_reply({"Descriptor": found.descriptor.to_json(), "Platforms": found.platforms or None})


async def _distributed(api: Api, request: Request, *, insecure: bool = False) -> Distributed:
    login = parse_auth(request.headers.get("x-registry-auth", ""))
    return await api.run(inspect_distribution, api.engine, request.names["name"], login, insecure=insecure)


async def wharf_ping(api: Api, request: Request) -> Answer:
    """GET /wharf/v1/_ping: tells our own tools that this server is Wharf."""
    return json_reply({"Server": "wharf", "Version": __version__, "ApiVersion": version_text(MAX_VERSION)})


async def check(api: Api, request: Request) -> Answer:
    """GET /wharf/v1/system/check: what is inconsistent"""
    return await _checked(api, repair=False)


async def repair(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/system/check: the same, and mends what is safe to mend"""
    return await _checked(api, repair=True)


async def _checked(api: Api, *, repair: bool) -> Answer:
    checks = await api.run(importlib.import_module, "wharf.engine.check")  # rarely wanted: not in memory before
    return json_reply({"Findings": await api.run(checks.check_system, api.engine, repair)})


async def bootstrap(api: Api, request: Request) -> Answer:
    """POST /wharf/v1/bootstrap {"What", "Mirror", "Tag"}: a base image from the distribution, with its progress."""
    body = await json_map(request)
    for key in ("What", "Mirror", "Tag"):
        if not isinstance(body.get(key) or "", str):
            raise Invalid(f"invalid JSON: {key} must be a string")
    what, mirror, tag = (body.get(key) or "" for key in ("What", "Mirror", "Tag"))
    wanted = BootstrapRequest(what, mirror or None, tag=tag or None)
    return await progress(api, lambda emit: bootstrap_image(api.engine, wanted, emit))


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
    Route("GET", "/events", events),
    Route("GET", "/system/df", df),
    Route("POST", "/auth", auth),
    Route("GET", "/distribution/{name}/json", distribution),
    Route("GET", "/wharf/v1/distribution/{name}/json", wharf_distribution),
    Route("GET", "/wharf/v1/distribution/{name}/manifest", distribution_manifest),
    Route("PUT", "/wharf/v1/distribution/{name}/manifest", distribution_push),
    Route("GET", "/wharf/v1/_ping", wharf_ping),
    Route("POST", "/wharf/v1/bootstrap", bootstrap),
    Route("GET", "/wharf/v1/system/check", check),
    Route("POST", "/wharf/v1/system/check", repair),
)
