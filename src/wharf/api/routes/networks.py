"""Networks: list and inspect; what user-defined networks need is not there yet."""

from wharf.api.http import Answer, Reply, Request
from wharf.api.requests import NO_CONTENT, filters_of, json_map, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.engine.networks import (
    connect_network,
    create_network,
    inspect_network,
    list_networks,
    prune_networks,
    remove_network,
)
from wharf.errors import Invalid


async def network_list(api: Api, request: Request) -> Answer:
    """GET /networks"""
    return json_reply(await api.run(list_networks, api.engine, filters_of(request)))


async def network_inspect(api: Api, request: Request) -> Answer:
    """GET /networks/{id}"""
    return json_reply(await api.run(inspect_network, api.engine, request.names["id"]))


async def network_create(api: Api, request: Request) -> Answer:
    """POST /networks/create"""
    name = (await json_map(request)).get("Name") or ""
    if not isinstance(name, str):
        raise Invalid("invalid JSON: Name must be a string")
    if not name.strip():
        raise Invalid("invalid name: name is empty")
    await api.run(create_network, api.engine, name)
    return NO_CONTENT


async def network_delete(api: Api, request: Request) -> Answer:
    """DELETE /networks/{id}"""
    await api.run(remove_network, api.engine, request.names["id"])
    return NO_CONTENT


async def network_connect(api: Api, request: Request) -> Answer:
    """POST /networks/{id}/connect and /disconnect"""
    container = (await json_map(request)).get("Container") or ""
    if not isinstance(container, str):
        raise Invalid("invalid JSON: Container must be a string")
    if not container:
        raise Invalid('invalid name or ID supplied: ""')
    await api.run(connect_network, api.engine, request.names["id"], container)
    return Reply(200, content_type="")


async def network_prune(api: Api, request: Request) -> Answer:
    """POST /networks/prune"""
    return json_reply(await api.run(prune_networks, api.engine, filters_of(request)))


ROUTES = (
    Route("GET", "/networks", network_list),
    Route("GET", "/networks/", network_list),
    Route("POST", "/networks/create", network_create, "501 user-defined networks (403 for predefined names)"),
    Route("POST", "/networks/prune", network_prune),
    Route("POST", "/networks/{id}/connect", network_connect, "501 connecting later on"),
    Route("POST", "/networks/{id}/disconnect", network_connect, "501 disconnecting later on"),
    Route("GET", "/networks/{id}", network_inspect),
    Route("DELETE", "/networks/{id}", network_delete),
)
