"""What is not there: answered as Docker does where that feature is off, else 501 with its name."""

from wharf.api.http import Answer, Request
from wharf.api.requests import filters_of, json_reply
from wharf.api.router import Handler, Route
from wharf.api.server import Api
from wharf.engine.filters import check_filters
from wharf.errors import Internal, Invalid, NotFound, NotImplementedYet, Unavailable, WharfError

NO_SWARM = (
    "This node is not a swarm manager. "
    'Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
)

NOT_IN_A_SWARM = "This node is not part of a swarm"
NO_SWARM_EVER = "Swarm is not part of Wharf: run services with wharf compose, on one machine"
NO_PLUGINS = "managed plugins are not part of Wharf: its drivers are built in (docker info lists them)"
NO_EXPERIMENTS = (
    "This experimental feature is disabled by default. "
    "Start the Docker daemon in experimental mode in order to enable it."
)
NO_CLUSTER = "volume update only valid for cluster volumes, but swarm is unavailable"


async def swarm(api: Api, request: Request) -> Answer:
    """Everything of a swarm: a node outside one."""
    raise Unavailable(NO_SWARM)


async def swarm_logs(api: Api, request: Request) -> Answer:
    """GET /services/{id}/logs and /tasks/{id}/logs: Docker looks at the streams first."""
    if not request.flag("stdout") and not request.flag("stderr"):
        raise Internal("Bad parameters: you must choose at least one stream")
    raise Unavailable(NO_SWARM)


async def plugin_list(api: Api, request: Request) -> Answer:
    """GET /plugins: none."""
    check_filters(filters_of(request), ("enabled", "capability"))
    return json_reply([])


async def plugin_missing(api: Api, request: Request) -> Answer:
    """Any operation on one plugin."""
    raise NotFound(f'plugin "{request.names["name"]}" not found')


async def plugin_privileges(api: Api, request: Request) -> Answer:
    """GET /plugins/privileges: Docker answers none without asking a registry."""
    if not request.text("remote"):
        raise Internal("invalid reference format")
    return json_reply([])


async def plugin_enable(api: Api, request: Request) -> Answer:
    """POST /plugins/{name}/enable: Docker reads the timeout first, and has no default."""
    if not request.text("timeout"):
        raise Internal('strconv.Atoi: parsing "": invalid syntax')
    request.number("timeout")
    return await plugin_missing(api, request)


def upgrading(kind: type[WharfError], what: str) -> Handler:
    """A handler of what begins with an upgrade to h2c; `kind` is how Docker refuses any other."""

    async def handler(api: Api, request: Request) -> Answer:
        protocol = request.headers.get("upgrade", "")
        if not protocol:
            raise kind("no upgrade proto in request")
        if protocol != "h2c":
            raise kind(f"protocol {protocol[:100]} not supported")
        raise NotImplementedYet(f"{what} is not there yet")

    return handler


def refusing(kind: type[WharfError], text: str) -> Handler:
    """A handler that refuses with these words."""

    async def handler(api: Api, request: Request) -> Answer:
        raise kind(text)

    return handler


_SWARM = (
    ("GET", "/swarm"),
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


ROUTES = (
    *(Route("GET", f"/{noun}/{{id}}/logs", swarm_logs, NOT_A_MANAGER) for noun in ("services", "tasks")),
    *(Route(method, pattern, swarm, NOT_A_MANAGER) for method, pattern in _SWARM),
    Route("POST", "/swarm/leave", refusing(Unavailable, NOT_IN_A_SWARM), "503 not part of a swarm"),
    Route("POST", "/swarm/init", refusing(NotImplementedYet, NO_SWARM_EVER), "501 Swarm is not part of Wharf"),
    Route("POST", "/swarm/join", refusing(NotImplementedYet, NO_SWARM_EVER), "501 Swarm is not part of Wharf"),
    Route("GET", "/plugins", plugin_list),
    Route("GET", "/plugins/privileges", plugin_privileges),
    Route(
        "POST", "/plugins/pull", refusing(NotImplementedYet, NO_PLUGINS), "501 managed plugins are not part of Wharf"
    ),
    Route(
        "POST", "/plugins/create", refusing(NotImplementedYet, NO_PLUGINS), "501 managed plugins are not part of Wharf"
    ),
    Route("GET", "/plugins/{name}/json", plugin_missing, NO_PLUGIN),
    Route("DELETE", "/plugins/{name}", plugin_missing, NO_PLUGIN),
    Route("POST", "/plugins/{name}/enable", plugin_enable, NO_PLUGIN),
    *(
        Route("POST", f"/plugins/{{name}}/{verb}", plugin_missing, NO_PLUGIN)
        for verb in ("disable", "push", "upgrade", "set")
    ),
    Route("POST", "/session", upgrading(Invalid, "session (BuildKit)"), "501 session (BuildKit)"),
    Route("POST", "/grpc", upgrading(Internal, "grpc (BuildKit)"), "501 grpc (BuildKit)"),
    Route("GET", "/containers/{id}/checkpoints", refusing(NotImplementedYet, NO_EXPERIMENTS), "501 experimental"),
    Route("POST", "/containers/{id}/checkpoints", refusing(NotImplementedYet, NO_EXPERIMENTS), "501 experimental"),
    Route(
        "DELETE", "/containers/{id}/checkpoints/{name}", refusing(NotImplementedYet, NO_EXPERIMENTS), "501 experimental"
    ),
    Route("PUT", "/volumes/{name}", refusing(Unavailable, NO_CLUSTER), "503 only for cluster volumes"),
)
