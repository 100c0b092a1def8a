"""Blobs: GET, HEAD and DELETE (distribution specification, end-2 and end-10)."""

import os
from typing import BinaryIO

from wharf.errors import NotFound
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import FilePart, Request, Response
from wharf.registry.server.ranges import byte_range, not_modified
from wharf.registry.server.routes import Target, parse_digest
from wharf.registry.server.state import Registry
from wharf.spec.digest import Digest

OCTETS = "application/octet-stream"


def get(registry: Registry, request: Request, target: Target) -> Response:
    """The blob or a range of it; 404 BLOB_UNKNOWN."""
    digest = parse_digest(target.reference)
    # The lease first: what is found after it stays.
    registry.leases.touch(target.repository, digest)
    file = _open(registry, target.repository, digest)
    if file is None:
        found = registry.upstream.blob(target.repository, digest) if registry.upstream else None
        if found is not None:
            return found
        raise RegistryError("BLOB_UNKNOWN", detail={"digest": str(digest)})
    try:
        response = _response(request, digest, file)
    except BaseException:
        file.close()
        raise
    if not isinstance(response.body, FilePart) or request.method == "HEAD":
        file.close()
    return response


def delete(registry: Registry, request: Request, target: Target) -> Response:
    """Take the blob from the repository; refused while a manifest names it."""
    digest = parse_digest(target.reference)
    with registry.metadata.transaction():
        if registry.metadata.links.referenced(target.repository, digest):
            raise RegistryError("UNSUPPORTED", "a manifest names this blob: delete the manifest first")
        if not registry.metadata.links.remove(target.repository, digest):
            raise RegistryError("BLOB_UNKNOWN", detail={"digest": str(digest)})
    return Response(202)


def _open(registry: Registry, repository: str, digest: Digest) -> BinaryIO | None:
    if not registry.metadata.links.has(repository, digest):
        return None
    try:
        return registry.blobs.open(digest)
    except NotFound:
        return None


def _response(request: Request, digest: Digest, file: BinaryIO) -> Response:
    size = os.fstat(file.fileno()).st_size
    tag = f'"{digest}"'
    headers = {"Docker-Content-Digest": str(digest), "ETag": tag, "Accept-Ranges": "bytes"}
    headers["Cache-Control"] = "max-age=31536000"
    if not_modified(request.headers.get("if-none-match", ""), tag):
        return Response(304, b"", headers)
    headers["Content-Type"] = OCTETS
    wanted = request.headers.get("range", "")
    if_range = request.headers.get("if-range", tag)
    part = byte_range(wanted, size) if wanted and if_range == tag else None
    if part is None:
        return Response(200, FilePart(file, 0, size), headers)
    offset, length = part
    headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{size}"
    return Response(206, FilePart(file, offset, length), headers)
