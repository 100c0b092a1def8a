"""A container's files: stat, copy out, copy in, changes, export."""

import base64
from typing import Any

from wharf.api.http import Answer, Reply, Request
from wharf.api.requests import json_reply
from wharf.api.router import Route
from wharf.api.server import Api
from wharf.api.streams import produced
from wharf.engine.changes import container_changes
from wharf.engine.copy import get_archive, put_archive, stat_path
from wharf.engine.export import export_container
from wharf.errors import Invalid
from wharf.wire.codec import dumps

STAT_HEADER = "X-Docker-Container-Path-Stat"


def _path(request: Request) -> str:
    path = request.text("path")
    if not path:
        raise Invalid("bad parameter: pathcannot be empty")  # moby's own slip, and what clients have seen
    return path


def stat_header(stat: Any) -> str:
    """Base64 of the JSON that `docker cp` reads before it copies."""
    fields = {
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": stat.mtime,
        "linkTarget": stat.link_target,
    }
    return base64.b64encode(dumps(fields)).decode()


async def archive_stat(api: Api, request: Request) -> Answer:
    """HEAD /containers/{id}/archive"""
    stat = await api.run(stat_path, api.engine, request.names["id"], _path(request))
    return Reply(headers={STAT_HEADER: stat_header(stat)}, content_type="")


async def archive_get(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/archive"""
    stat, write = await api.run(get_archive, api.engine, request.names["id"], _path(request))
    answer = await produced(api, write, "application/x-tar")
    answer.headers = {STAT_HEADER: stat_header(stat)}
    return answer


async def archive_put(api: Api, request: Request) -> Answer:
    """PUT /containers/{id}/archive"""
    stream = request.body.file()
    container, path = request.names["id"], _path(request)
    keep = request.flag("noOverwriteDirNonDir")
    chown = request.flag("copyUIDGID")
    await api.run_stream(
        lambda: put_archive(api.engine, container, path, stream, no_overwrite_dir_non_dir=keep, copy_uid_gid=chown)
    )
    return Reply(200, content_type="")


async def changes(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/changes"""
    found = await api.run(container_changes, api.engine, request.names["id"])
    return json_reply(found or None)


async def export(api: Api, request: Request) -> Answer:
    """GET /containers/{id}/export"""
    write = await api.run(export_container, api.engine, request.names["id"])
    return await produced(api, write, "application/octet-stream")


ROUTES = (
    Route("HEAD", "/containers/{id}/archive", archive_stat),
    Route("GET", "/containers/{id}/archive", archive_get),
    Route("PUT", "/containers/{id}/archive", archive_put),
    Route("GET", "/containers/{id}/changes", changes),
    Route("GET", "/containers/{id}/export", export),
)
