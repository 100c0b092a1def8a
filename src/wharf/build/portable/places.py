"""`--cache-from` and `--cache-to`: requests become sources, and what a build made goes to its places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wharf.build.deliver import login_for, sink_to, write_blobs
from wharf.build.portable.export import Steps, collect, to_content, to_registry
from wharf.build.portable.sources import CacheSource, ContentSource, ImageSource, RegistrySource
from wharf.build.request import BuildRequest, CachePlace
from wharf.build.tree import Tree
from wharf.errors import Invalid, WharfError
from wharf.registry.client.repository import Repository
from wharf.spec.reference import Reference

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

TO_CLIENT = -1
"""The number under which a cache goes to the client."""


def open_sources(engine: Engine, request: BuildRequest) -> list[CacheSource]:
    """What `request.imports` name. Raises Invalid."""
    sources: list[CacheSource] = []
    for place in request.imports:
        if place.kind == "content" and place.digest is not None:
            sources.append(ContentSource(engine.content, place.digest))
        elif place.reference is not None:
            image = engine.images.named(place.reference) if place.kind == "image" else None
            if image is not None:
                sources.append(ImageSource(engine.content, image))
                continue
            repository = _repository(engine, request, place.reference)
            sources.append(RegistrySource(engine, repository, place.reference))
        else:
            raise Invalid(f"a build cache cannot be imported from {place.kind}")
    return sources


def export_caches(engine: Engine, request: BuildRequest, steps: Steps, trees: Sequence[Tree], mounts: str) -> None:
    """To every place of `request.exports` but `inline`, which is in the image already. Raises WharfError."""
    for place in request.exports:
        if place.kind == "inline":
            continue
        try:
            _export(engine, request, place, steps, trees, mounts)
        except WharfError as error:
            if not place.ignore_error:
                raise
            request.warned(f"cache export: {error.message}")


def _export(
    engine: Engine, request: BuildRequest, place: CachePlace, steps: Steps, trees: Sequence[Tree], mounts: str
) -> None:
    content = collect(engine, steps, trees, mounts if place.mounts else "", everything=place.everything)
    if place.kind == "registry" and place.reference is not None:
        digest = to_registry(engine, content, _repository(engine, request, place.reference), place.reference)
        request.told({"status": f"cache {place.reference.familiar()}: digest: {digest}"})
        return
    manifest, blobs = to_content(engine, content)
    listed = {blob.digest.hex: blob for blob in (manifest, *blobs)}
    write_blobs(engine, {}, listed, [manifest], sink_to(request, TO_CLIENT, ""))


def _repository(engine: Engine, request: BuildRequest, reference: Reference) -> Repository:
    return engine.registries.repository(engine.config.registries, reference, login_for(request, reference))
