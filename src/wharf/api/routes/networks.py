"""Networks: make, list, inspect, connect, disconnect, remove."""

from wharf.api.http import Answer, Reply, Request
from wharf.api.requests import NO_CONTENT, filters_of, json_body, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.engine.networks import inspect_network, list_networks
from wharf.engine.networks_connect import connect_network, disconnect_network
from wharf.engine.networks_create import create_network, prune_networks, remove_network
from wharf.errors import Invalid
from wharf.spec.network_requests import NetworkConnect, NetworkCreate, NetworkDisconnect


async def network_list(api: Api, request: Request) -> Answer:
    """GET /networks"""
    return json_reply(await api.run(list_networks, api.engine, filters_of(request)))


async def network_inspect(api: Api, request: Request) -> Answer:
    """GET /networks/{id}"""
    return json_reply(await api.run(inspect_network, api.engine, request.names["id"]))


async def network_create(api: Api, request: Request) -> Answer:
    """POST /networks/create"""
    made = await api.run(create_network, api.engine, await json_body(request, NetworkCreate))
    return json_reply({"Id": made, "Warning": ""}, 201)


async def network_delete(api: Api, request: Request) -> Answer:
    """DELETE /networks/{id}"""
    await api.run(remove_network, api.engine, request.names["id"])
    return NO_CONTENT


async def network_connect(api: Api, request: Request) -> Answer:
    """POST /networks/{id}/connect"""
    wanted = await json_body(request, NetworkConnect)
    if not wanted.container:
        raise Invalid('invalid name or ID supplied: ""')
    await api.run(connect_network, api.engine, request.names["id"], wanted)
    return Reply(200, content_type="")


async def network_disconnect(api: Api, request: Request) -> Answer:
    """POST /networks/{id}/disconnect"""
    wanted = await json_body(request, NetworkDisconnect)
    if not wanted.container:
        raise Invalid('invalid name or ID supplied: ""')
    await api.run(disconnect_network, api.engine, request.names["id"], wanted)
    return Reply(200, content_type="")


async def network_prune(api: Api, request: Request) -> Answer:
    """POST /networks/prune"""
    return json_reply(await api.run(prune_networks, api.engine, filters_of(request)))


ROUTES = (
    Route("GET", "/networks", network_list),
    Route("GET", "/networks/", network_list),
    Route("POST", "/networks/create", network_create),
    Route("POST", "/networks/prune", network_prune),
    Route("POST", "/networks/{id}/connect", network_connect),
    Route("POST", "/networks/{id}/disconnect", network_disconnect),
    Route("GET", "/networks/{id}", network_inspect),
    Route("DELETE", "/networks/{id}", network_delete),
)
