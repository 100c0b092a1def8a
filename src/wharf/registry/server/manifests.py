"""Manifests: GET, HEAD, PUT and DELETE by tag or digest (distribution specification, end-3, 7, 9)."""

from wharf.errors import NotFound
from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import FilePart, Request, Response
from wharf.registry.server.manifest_check import Checked, check
from wharf.registry.server.ranges import not_modified
from wharf.registry.server.routes import Target, parse_reference
from wharf.registry.server.state import Registry
from wharf.spec.digest import Digest
from wharf.spec.image import MAX_MANIFEST_SIZE
from wharf.spec.registry import ManifestRow


def get(registry: Registry, request: Request, target: Target) -> Response:
    """The manifest; 404 MANIFEST_UNKNOWN or NAME_UNKNOWN."""
    reference = parse_reference(target.reference)
    if registry.upstream is not None:
        registry.upstream.manifest(target.repository, reference)
    row = find(registry, target.repository, reference)
    tag = f'"{row.digest}"'
    headers = {"Docker-Content-Digest": str(row.digest), "ETag": tag}
    if not_modified(request.headers.get("if-none-match", ""), tag):
        return Response(304, b"", headers)
    headers["Content-Type"] = row.media_type
    try:
        file = registry.blobs.open(row.digest)
    except NotFound:
        raise RegistryError("MANIFEST_UNKNOWN", detail={"reference": target.reference}) from None
    if request.method == "HEAD":
        file.close()
        return Response(200, FilePart(file, 0, row.size), headers)
    with file:
        return Response(200, file.read(MAX_MANIFEST_SIZE + 1), headers)


def put(registry: Registry, request: Request, target: Target) -> Response:
    """Store a manifest all of whose parts are here, then move the tag; 201."""
    reference = parse_reference(target.reference)
    data = request.body.read(MAX_MANIFEST_SIZE)
    digest = Digest.of(data)
    if isinstance(reference, Digest) and reference != digest:
        raise RegistryError("DIGEST_INVALID", detail={"digest": str(reference), "content": str(digest)})
    checked = check(data, request.headers.get("content-type", ""))
    store(registry, target.repository, data, checked, "" if isinstance(reference, Digest) else reference)
    headers = {"Location": f"/v2/{target.repository}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
    if checked.subject is not None:
        headers["OCI-Subject"] = str(checked.subject)
    return Response(201, b"", headers)


def store(registry: Registry, repository: str, data: bytes, checked: Checked, tag: str, partial: bool = False) -> None:
    """The manifest's file first, then in one transaction: its parts are here, it is recorded, the tag moves.

    A cache stores a manifest before its parts (`partial`). Raises RegistryError (MANIFEST_BLOB_UNKNOWN).
    """
    metadata = registry.metadata
    row = ManifestRow(
        Digest.of(data),
        checked.media_type,
        len(data),
        str(checked.subject or ""),
        checked.artifact_type,
        checked.annotations,
    )
    _put_file(registry, repository, data, row.digest)
    with metadata.transaction():
        if not partial:
            _require_parts(registry, repository, checked)
        if not registry.blobs.has(row.digest):  # collected meanwhile
            registry.blobs.put(data)
        metadata.manifests.add(repository, row, (*checked.blobs, *checked.manifests))
        if tag:
            metadata.tags.set(repository, tag, row.digest)


def _put_file(registry: Registry, repository: str, data: bytes, digest: Digest) -> None:
    """Writing and syncing wait for the disk, so not in the transaction."""
    if not registry.blobs.has(digest):
        registry.blobs.put(data)


def _require_parts(registry: Registry, repository: str, checked: Checked) -> None:
    links, manifests = registry.metadata.links, registry.metadata.manifests
    missing = [digest for digest in checked.blobs if not links.has(repository, digest)]
    missing += [digest for digest in checked.manifests if manifests.find(repository, digest) is None]
    if missing:
        raise RegistryError("MANIFEST_BLOB_UNKNOWN", detail=[{"digest": str(digest)} for digest in missing[:100]])


def delete(registry: Registry, request: Request, target: Target) -> Response:
    """By tag: the tag goes. By digest: the manifest goes with its tags."""
    reference = parse_reference(target.reference)
    metadata = registry.metadata
    with metadata.transaction():
        row = find(registry, target.repository, reference)
        if isinstance(reference, Digest):
            metadata.manifests.remove(target.repository, row.digest)
        else:
            metadata.tags.remove(target.repository, reference)
    return Response(202)


def find(registry: Registry, repository: str, reference: Digest | str) -> ManifestRow:
    """The manifest that a tag or digest names; raises RegistryError."""
    metadata = registry.metadata
    digest = reference if isinstance(reference, Digest) else metadata.tags.find(repository, reference)
    row = metadata.manifests.find(repository, digest) if digest is not None else None
    if row is None:
        detail = {"name": repository, "reference": str(reference)}
        known = metadata.repositories.exists(repository)
        raise RegistryError("MANIFEST_UNKNOWN" if known else "NAME_UNKNOWN", detail=detail)
    return row
