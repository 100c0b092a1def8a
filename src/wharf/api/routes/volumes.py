"""Volumes: list, create, inspect, delete, prune."""

from wharf.api.http import Answer, Request
from wharf.api.requests import NO_CONTENT, filters_of, json_body, json_reply
from wharf.api.router import Route
from wharf.api.routes.absent import NO_SWARM
from wharf.api.server import Api
from wharf.engine.volumes import (
    create_volume,
    inspect_volume,
    list_volumes,
    prune_volumes,
    remove_volume,
)
from wharf.errors import Unavailable
from wharf.spec.volume import VolumeCreate


async def volume_list(api: Api, request: Request) -> Answer:
    """GET /volumes"""
    return json_reply(await api.run(list_volumes, api.engine, filters_of(request)))


async def volume_create(api: Api, request: Request) -> Answer:
    """POST /volumes/create"""
    wanted = await json_body(request, VolumeCreate)
    if wanted.cluster_volume_spec is not None:
        raise Unavailable(NO_SWARM)
    return json_reply(await api.run(create_volume, api.engine, wanted), 201)


async def volume_inspect(api: Api, request: Request) -> Answer:
    """GET /volumes/{name}"""
    return json_reply(await api.run(inspect_volume, api.engine, request.names["name"]))


async def volume_delete(api: Api, request: Request) -> Answer:
    """DELETE /volumes/{name}"""
    await api.run(remove_volume, api.engine, request.names["name"], force=request.flag("force"))
    return NO_CONTENT


async def volume_prune(api: Api, request: Request) -> Answer:
    """POST /volumes/prune"""
    filters = filters_of(request)
    return json_reply(await api.run(prune_volumes, api.engine, filters, api_version=request.version))


ROUTES = (
    Route("GET", "/volumes", volume_list),
    Route("POST", "/volumes/create", volume_create),
    Route("POST", "/volumes/prune", volume_prune),
    Route("GET", "/volumes/{name}", volume_inspect),
    Route("DELETE", "/volumes/{name}", volume_delete),
)
