"""Lists: tags, the catalog, referrers (distribution specification, end-8 and end-12)."""

import json
from collections.abc import Callable
from typing import Any

from wharf.errors import NotFound, WharfError
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import Request, Response
from wharf.registry.server.paging import MAX_PAGE, link, page_of
from wharf.registry.server.routes import Target, parse_digest
from wharf.registry.server.state import Registry
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE, MEDIA_INDEX, load_json

JSON = "application/json"
_SCAN = 200
"""Repositories looked at per step when most are hidden from the client."""


def tags(registry: Registry, request: Request, target: Target) -> Response:
    """The tags of a repository in lexical order; 404 NAME_UNKNOWN."""
    most, last = page_of(request)
    if not registry.metadata.repositories.exists(target.repository):
        raise RegistryError("NAME_UNKNOWN", detail={"name": target.repository})
    names = registry.metadata.tags.names(target.repository, last, most + 1) if most else []
    headers = {"Content-Type": JSON}
    if len(names) > most:
        names = names[:most]
        headers |= link(f"/v2/{target.repository}/tags/list", names[-1], most)
    return Response(200, json.dumps({"name": target.repository, "tags": names}).encode() + b"\n", headers)


def catalog(registry: Registry, request: Request, sees: Callable[[Request, str], bool]) -> Response:
    """The repositories that the client may pull from, in lexical order."""
    most, last = page_of(request)
    names: list[str] = []
    while most and len(names) <= most:
        more = registry.metadata.repositories.names(last, _SCAN)
        names += [name for name in more if sees(request, name)]
        if len(more) < _SCAN:
            break
        last = more[-1]
    headers = {"Content-Type": JSON}
    if len(names) > most:
        names = names[:most]
        if names:
            headers |= link("/v2/_catalog", names[-1], most)
    return Response(200, json.dumps({"repositories": names}).encode() + b"\n", headers)


def referrers(registry: Registry, request: Request, target: Target) -> Response:
    """An index of the manifests that have this subject, by `artifactType` when asked; never 404."""
    subject = parse_digest(target.reference)
    wanted = request.text("artifactType")
    most, last = page_of(request)
    found = {
        str(row.digest): _descriptor(row) for row in registry.metadata.manifests.referrers(target.repository, subject)
    }
    for item in _fallback(registry, target.repository, subject):
        found.setdefault(item["digest"], item)
    items = [found[key] for key in sorted(found) if key > last]
    if wanted:
        items = [item for item in items if item.get("artifactType") == wanted]
    headers = {"Content-Type": MEDIA_INDEX}
    if wanted:
        headers["OCI-Filters-Applied"] = "artifactType"
    most = min(most or MAX_PAGE, MAX_PAGE)
    if len(items) > most:
        items = items[:most]
        more = {"artifactType": wanted} if wanted else {}
        headers |= link(f"/v2/{target.repository}/referrers/{subject}", items[-1]["digest"], most, **more)
    document = {"schemaVersion": 2, "mediaType": MEDIA_INDEX, "manifests": items}
    return Response(200, json.dumps(document, separators=(",", ":")).encode(), headers)


def _descriptor(row: Any) -> dict[str, Any]:
    item: dict[str, Any] = {"mediaType": row.media_type, "digest": str(row.digest), "size": row.size}
    if row.artifact_type:
        item["artifactType"] = row.artifact_type
    if row.annotations:
        item["annotations"] = row.annotations
    return item


def _fallback(registry: Registry, repository: str, subject: Digest) -> list[dict[str, Any]]:
    """What clients wrote into the tag `sha256-<hex>` for registries without referrers, as far as it is here."""
    digest = registry.metadata.tags.find(repository, f"sha256-{subject.hex}")
    if digest is None:
        return []
    try:
        with registry.blobs.open(digest) as file:
            raw = load_json(file.read(MAX_MANIFEST_SIZE + 1), "index", MAX_MANIFEST_SIZE)
        items = [item for item in raw.get("manifests") or [] if isinstance(item, dict)]
        return [item for item in items if registry.metadata.manifests.find(repository, Digest.parse(item["digest"]))]
    except (NotFound, WharfError, KeyError, TypeError):
        return []
