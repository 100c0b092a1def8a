"""What is not there: answered as Docker does where that feature is off, else 501 with its name."""

from wharf.api.http import Answer, Request
from wharf.api.requests import json_reply
from wharf.api.router import Handler, Route
from wharf.api.server import Api
from wharf.errors import NotFound, NotImplementedYet, Unavailable

NO_SWARM = (
    "This node is not a swarm manager. "
    'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
)


async def swarm(api: Api, request: Request) -> Answer:
    """Everything of a swarm: a node outside one."""
    raise Unavailable(NO_SWARM)


async def plugin_list(api: Api, request: Request) -> Answer:
    """GET /plugins: none."""
    return json_reply([])


async def plugin_missing(api: Api, request: Request) -> Answer:
    """Any operation on one plugin."""
    raise NotFound(f'plugin "{request.names["name"]}" not found')


def not_yet(what: str) -> Handler:
    """A handler that says what is missing."""

    async def handler(api: Api, request: Request) -> Answer:
        raise NotImplementedYet(f"{what} is not there yet")

    return handler


_SWARM = (
    ("GET", "/swarm"),
    ("POST", "/swarm/init"),
    ("POST", "/swarm/join"),
    ("POST", "/swarm/leave"),
    ("POST", "/swarm/update"),
    ("GET", "/swarm/unlockkey"),
    ("POST", "/swarm/unlock"),
    *(
        (method, f"/{noun}{rest}")
        for noun in ("nodes", "services", "tasks", "secrets", "configs")
        for method, rest in (
            ("GET", ""),
            ("POST", "/create"),
            ("GET", "/{id}"),
            ("DELETE", "/{id}"),
            ("POST", "/{id}/update"),
        )
    ),
)

ROUTES = (
    *(Route(method, pattern, swarm) for method, pattern in _SWARM),
    Route("GET", "/plugins", plugin_list),
    Route("GET", "/plugins/privileges", not_yet("plugin privileges")),
    Route("POST", "/plugins/pull", not_yet("plugin install")),
    Route("POST", "/plugins/create", not_yet("plugin create")),
    Route("GET", "/plugins/{name}/json", plugin_missing),
    Route("DELETE", "/plugins/{name}", plugin_missing),
    *(
        Route("POST", f"/plugins/{{name}}/{verb}", plugin_missing)
        for verb in ("enable", "disable", "push", "upgrade", "set")
    ),
    Route("POST", "/build", not_yet("build")),
    Route("POST", "/build/cancel", not_yet("build cancel")),
    Route("POST", "/session", not_yet("session (BuildKit)")),
    Route("POST", "/grpc", not_yet("grpc (BuildKit)")),
    Route("GET", "/distribution/{name}/json", not_yet("distribution inspect")),
    Route("GET", "/containers/{id}/attach/ws", not_yet("attach over a websocket")),
    Route("GET", "/containers/{id}/checkpoints", not_yet("checkpoint")),
    Route("POST", "/containers/{id}/checkpoints", not_yet("checkpoint")),
    Route("DELETE", "/containers/{id}/checkpoints/{name}", not_yet("checkpoint")),
    Route("PUT", "/volumes/{name}", swarm),
)
