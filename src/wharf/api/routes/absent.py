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

NOT_A_MANAGER = "503 not a swarm manager"
NO_PLUGIN = "404 no such plugin"


def _missing(method: str, pattern: str, what: str) -> Route:
    return Route(method, pattern, not_yet(what), f"501 {what}")


ROUTES = (
    *(Route(method, pattern, swarm, NOT_A_MANAGER) for method, pattern in _SWARM),
    _missing("POST", "/swarm/init", "swarm"),
    _missing("POST", "/swarm/join", "swarm"),
    Route("GET", "/plugins", plugin_list),
    _missing("GET", "/plugins/privileges", "plugin privileges"),
    _missing("POST", "/plugins/pull", "plugin install"),
    _missing("POST", "/plugins/create", "plugin create"),
    Route("GET", "/plugins/{name}/json", plugin_missing, NO_PLUGIN),
    Route("DELETE", "/plugins/{name}", plugin_missing, NO_PLUGIN),
    *(
        Route("POST", f"/plugins/{{name}}/{verb}", plugin_missing, NO_PLUGIN)
        for verb in ("enable", "disable", "push", "upgrade", "set")
    ),
    _missing("POST", "/session", "session (BuildKit)"),
    _missing("POST", "/grpc", "grpc (BuildKit)"),
    _missing("GET", "/containers/{id}/attach/ws", "attach over a websocket"),
    _missing("GET", "/containers/{id}/checkpoints", "checkpoint"),
    _missing("POST", "/containers/{id}/checkpoints", "checkpoint"),
    _missing("DELETE", "/containers/{id}/checkpoints/{name}", "checkpoint"),
    Route("PUT", "/volumes/{name}", swarm, NOT_A_MANAGER),
)
