"""Images: list, inspect, history, tag, delete, prune, load, save, import; commit of a container."""

from typing import Any

from wharf.api.http import Answer, Reply, Request
from wharf.api.requests import filters_of, json_body, json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.api.streams import produced, progress
from wharf.engine.commit import CommitRequest, commit_container
from wharf.engine.image_delete import delete_image
from wharf.engine.image_inspect import history, inspect_image
from wharf.engine.image_list import list_images
from wharf.engine.image_prune import prune_images
from wharf.engine.image_tag import tag_image
from wharf.engine.image_transfer import ImportRequest, import_image, import_url, load_images, save_images
from wharf.engine.pull import PullRequest, pull_image
from wharf.engine.push import PushRequest, push_image
from wharf.engine.search import search_images
from wharf.errors import Internal, Invalid
from wharf.spec.container import ContainerConfig
from wharf.spec.platform import Platform
from wharf.wire import images
from wharf.wire.codec import to_wire
from wharf.wire.registry import parse_auth, platform_json

TAR = "application/x-tar"


async def image_list(api: Api, request: Request) -> Answer:
    """GET /images/json"""
    found = await api.run(
        list_images,
        api.engine,
        filters_of(request),
        all=request.flag("all"),
        shared_size=request.flag("shared-size"),
        digests=request.flag("digests"),
        manifests=request.version >= (1, 47) and request.flag("manifests"),
    )
    return json_reply([images.summary(to_wire(image), request.version) for image in found])


async def image_inspect(api: Api, request: Request) -> Answer:
    """GET /images/{name}/json"""
    manifests = request.version >= (1, 48) and request.flag("manifests")
    if request.flag("manifests") and request.text("platform"):
        raise Invalid("conflicting options: manifests and platform options cannot both be set")
    name = request.names["name"]
    found = await api.run(inspect_image, api.engine, name, _platform(request), manifests=manifests)
    return json_reply(images.inspect(to_wire(found), request.version))


async def image_history(api: Api, request: Request) -> Answer:
    """GET /images/{name}/history"""
    return json_reply(await api.run(history, api.engine, request.names["name"], _platform(request)))


async def image_tag(api: Api, request: Request) -> Answer:
    """POST /images/{name}/tag"""
    await api.run(tag_image, api.engine, request.names["name"], request.text("repo"), request.text("tag"))
    return Reply(201)


async def image_delete(api: Api, request: Request) -> Answer:
    """DELETE /images/{name}"""
    name = request.names["name"]
    if not name.strip():
        raise Invalid("image name cannot be blank")
    force, noprune = request.flag("force"), request.flag("noprune")
    platforms = [found for text in request.all("platforms") if (found := platform_json(text))]
    return json_reply(await api.run(delete_image, api.engine, name, force=force, noprune=noprune, platforms=platforms))


async def image_prune(api: Api, request: Request) -> Answer:
    """POST /images/prune"""
    return json_reply(await api.run(prune_images, api.engine, filters_of(request)))


async def image_load(api: Api, request: Request) -> Answer:
    """POST /images/load"""
    platform = _platform(request)
    stream = request.body.file()
    quiet = request.flag("quiet", default=True)

    def work(emit: Any) -> None:
        load_images(api.engine, stream, emit, quiet=quiet, platform=platform)

    return await progress(api, work, always=True)


async def image_save(api: Api, request: Request) -> Answer:
    """GET /images/{name}/get and GET /images/get?names="""
    names = [request.names["name"]] if "name" in request.names else _names(request)
    write = await api.run(save_images, api.engine, names, _platform(request))
    return await produced(api, write, TAR)


def _platform(request: Request) -> Platform | None:
    if len(request.all("platform")) > 1:
        raise Invalid("multiple platform parameters not supported")
    return platform_json(request.text("platform"))


def _names(request: Request) -> list[str]:
    names = [name for text in request.all("names") for name in text.split(",") if name]
    if not names:
        raise Invalid("no image names given")
    return names


async def image_create(api: Api, request: Request) -> Answer:
    """POST /images/create: import with fromSrc, pull with fromImage."""
    source = request.text("fromSrc")
    if not source:
        return await _pull(api, request)
    asked = ImportRequest(
        repo=request.text("repo"),
        tag=request.text("tag"),
        message=request.text("message"),
        changes=request.all("changes"),
        platform=request.text("platform"),
    )
    if source != "-":
        return await progress(api, lambda emit: import_url(api.engine, source, asked, emit))
    stream = request.body.file()
    return await progress(api, lambda emit: import_image(api.engine, stream, asked, emit))


async def _pull(api: Api, request: Request) -> Answer:
    if not request.text("fromImage"):
        raise Invalid("either fromImage or fromSrc is needed")
    wanted = PullRequest(
        request.text("fromImage"),
        request.text("tag"),
        request.text("platform"),
        parse_auth(request.headers.get("x-registry-auth", "")),
        request.flag("referrers"),
    )
    return await progress(api, lambda emit: pull_image(api.engine, wanted, emit))


async def image_push(api: Api, request: Request) -> Answer:
    """POST /images/{name}/push"""
    wanted = PushRequest(
        request.names["name"],
        request.text("tag"),
        parse_auth(request.headers.get("x-registry-auth", "")),
        platform_json(request.text("platform")),
        request.flag("referrers"),
    )
    return await progress(api, lambda emit: push_image(api.engine, wanted, emit))


async def image_search(api: Api, request: Request) -> Answer:
    """GET /images/search"""
    login = parse_auth(request.headers.get("x-registry-auth", ""))
    try:
        limit = request.number("limit")
    except Internal as error:
        raise Invalid(f"invalid limit specified: {error.message}") from None
    return json_reply(await api.run(search_images, api.engine, request.text("term"), limit, filters_of(request), login))


async def commit(api: Api, request: Request) -> Answer:
    """POST /commit"""
    body: ContainerConfig | None = None
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        body = await json_body(request, ContainerConfig)
    digest: Any = await api.run(
        commit_container,
        api.engine,
        CommitRequest(
            container=request.text("container"),
            repo=request.text("repo"),
            tag=request.text("tag"),
            comment=request.text("comment"),
            author=request.text("author"),
            pause=request.flag("pause", default=True),
            changes=request.all("changes"),
            config=body,
        ),
    )
    return json_reply({"Id": str(digest)}, 201)


ROUTES = (
    Route("GET", "/images/json", image_list),
    Route("GET", "/images/search", image_search),
    Route("GET", "/images/get", image_save),
    Route("GET", "/images/{name}/get", image_save),
    Route("GET", "/images/{name}/json", image_inspect),
    Route("GET", "/images/{name}/history", image_history),
    Route("POST", "/images/create", image_create),
    Route("POST", "/images/load", image_load),
    Route("POST", "/images/prune", image_prune),
    Route("POST", "/images/{name}/push", image_push),
    Route("POST", "/images/{name}/tag", image_tag),
    Route("DELETE", "/images/{name}", image_delete),
    Route("POST", "/commit", commit),
)
