"""Containers: create, list, inspect, lifecycle, remove, prune."""

import asyncio

from wharf.api.by_version import create_by_version, update_by_version
from wharf.api.http import Answer, Request
from wharf.api.requests import NO_CONTENT, filters_of, json_bytes, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.engine.create import create_container
from wharf.engine.inspect import inspect_container
from wharf.engine.kill import kill_container
from wharf.engine.list import ListRequest, list_containers
from wharf.engine.pause import pause_container, unpause_container
from wharf.engine.prune_containers import prune_containers
from wharf.engine.remove import remove_container
from wharf.engine.rename import rename_container
from wharf.engine.restart import restart_container
from wharf.engine.start import start_container
from wharf.engine.stop import stop_container
from wharf.engine.top import top_container
from wharf.engine.update import update_container
from wharf.errors import Invalid
from wharf.spec.host import CgroupWorld
from wharf.wire.create import read_create, read_update


async def create(api: Api, request: Request) -> Answer:
    """POST /containers/create"""
    wanted = read_create(await json_bytes(request), request.text("name"), request.text("platform"))
    cgroup2 = api.engine.host.cgroup_world is CgroupWorld.V2
    warnings = create_by_version(wanted, request.version, cgroup2)
    made = await api.run(create_container, api.engine, wanted)
    return json_reply({"Id": made.id, "Warnings": made.warnings + warnings}, 201)


async def containers(api: Api, request: Request) -> Answer:
    """GET /containers/json"""
    filters = filters_of(request)
    limit = request.number("limit", 0) or -1
    wanted = ListRequest(all=request.flag("all"), limit=limit, size=request.flag("size"), filters=filters)
    return await api.run(lambda: json_reply(list_containers(api.engine, wanted)))


async def inspect(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/json"""
    return json_reply(await api.run(inspect_container, api.engine, request.names["id"], size=request.flag("size")))


async def start(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/start"""
    if (request.number_of_bytes or 0) > 7:
        raise Invalid(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
        )
    await api.run(start_container, api.engine, request.names["id"])
    return NO_CONTENT


async def stop(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/stop"""
    signal, timeout = request.text("signal"), request.number("t")
    done = await api.run(stop_container, api.engine, request.names["id"], signal=signal, timeout=timeout)
    await asyncio.wrap_future(done)
    return NO_CONTENT


async def restart(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/restart"""
    signal, timeout = request.text("signal"), request.number("t")
    done = await api.run(restart_container, api.engine, request.names["id"], signal=signal, timeout=timeout)
    await asyncio.wrap_future(done)
    return NO_CONTENT


async def kill(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/kill"""
    done = await api.run(kill_container, api.engine, request.names["id"], request.text("signal"))
    await asyncio.wrap_future(done)
    return NO_CONTENT


async def pause(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/pause"""
    await api.run(pause_container, api.engine, request.names["id"])
    return NO_CONTENT


async def unpause(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/unpause"""
    await api.run(unpause_container, api.engine, request.names["id"])
    return NO_CONTENT


async def rename(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/rename"""
    await api.run(rename_container, api.engine, request.names["id"], request.text("name"))
    return NO_CONTENT


async def update(api: Api, request: Request) -> Answer:
    """POST /containers/{id}/update"""
    wanted = read_update(await json_bytes(request))
    update_by_version(wanted, request.version)
    warnings = await api.run(update_container, api.engine, request.names["id"], wanted)
    return json_reply({"Warnings": warnings or None})


async def remove(api: Api, request: Request) -> Answer:
    """DELETE /containers/{id}"""
    done = await api.run(
        remove_container,
        api.engine,
        request.names["id"],
        force=request.flag("force"),
        volumes=request.flag("v"),
        link=request.flag("link"),
    )
    await asyncio.wrap_future(done)
    return NO_CONTENT


async def prune(api: Api, request: Request) -> Answer:
    """POST /containers/prune"""
    return json_reply(await api.run(prune_containers, api.engine, filters_of(request)))


async def top(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/top"""
    found = await api.run(top_container, api.engine, request.names["id"], request.text("ps_args", "-ef"))
    return json_reply(found)


ROUTES = (
    Route("GET", "/containers/json", containers),
    Route("POST", "/containers/create", create),
    Route("POST", "/containers/prune", prune),
    Route("GET", "/containers/{id}/json", inspect),
    Route("GET", "/containers/{id}/top", top),
    Route("POST", "/containers/{id}/start", start),
    Route("POST", "/containers/{id}/stop", stop),
    Route("POST", "/containers/{id}/restart", restart),
    Route("POST", "/containers/{id}/kill", kill),
    Route("POST", "/containers/{id}/pause", pause),
    Route("POST", "/containers/{id}/unpause", unpause),
    Route("POST", "/containers/{id}/rename", rename),
    Route("POST", "/containers/{id}/update", update),
    Route("DELETE", "/containers/{id}", remove),
)
