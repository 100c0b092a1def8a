"""Networks: list and inspect; what user-defined networks need is not there yet."""

from typing import Any

from wharf.api.http import Answer, Request
from wharf.api.requests import filters_of, json_map, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.engine.networks import inspect_network, list_networks, prune_networks
from wharf.errors import Conflict, Denied, Invalid, NotImplementedYet
from wharf.spec.network import PREDEFINED


async def network_list(api: Api, request: Request) -> Answer:
    """GET /networks"""
    return json_reply(await api.run(list_networks, api.engine, filters_of(request)))


async def network_inspect(api: Api, request: Request) -> Answer:
    """GET /networks/{id}"""
    return json_reply(await api.run(inspect_network, api.engine, request.names["id"]))


async def network_create(api: Api, request: Request) -> Answer:
    """POST /networks/create"""
    body = await json_map(request)
    name: Any = body.get("Name")
    if not isinstance(name, str) or not name.strip():
        raise Invalid("invalid network name: name is empty")
    if name in PREDEFINED:
        raise Denied(f"operation is not permitted on predefined {name} network ")
    raise NotImplementedYet(f"cannot create network {name[:200]}: user-defined networks are not there yet")


async def network_delete(api: Api, request: Request) -> Answer:
    """DELETE /networks/{id}"""
    found = await api.run(inspect_network, api.engine, request.names["id"])
    raise Denied(f"{found['Name']} is a pre-defined network and cannot be removed")


async def network_connect(api: Api, request: Request) -> Answer:
    """POST /networks/{id}/connect and /disconnect"""
    found = await api.run(inspect_network, api.engine, request.names["id"])
    if found["Name"] in ("host", "none"):
        raise Conflict(f"container cannot be connected to or disconnected from the {found['Name']} network")
    raise NotImplementedYet("connecting a container to a network later on is not there yet")


async def network_prune(api: Api, request: Request) -> Answer:
    """POST /networks/prune"""
    return json_reply(await api.run(prune_networks, api.engine, filters_of(request)))


ROUTES = (
    Route("GET", "/networks", network_list),
    Route("GET", "/networks/", network_list),
    Route("POST", "/networks/create", network_create),
    Route("POST", "/networks/prune", network_prune),
    Route("POST", "/networks/{id}/connect", network_connect),
    Route("POST", "/networks/{id}/disconnect", network_connect),
    Route("GET", "/networks/{id}", network_inspect),
    Route("DELETE", "/networks/{id}", network_delete),
)
