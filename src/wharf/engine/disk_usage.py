"""How much disk the engine's things take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wharf.engine.image_list import list_images
from wharf.engine.inspect import sizes
from wharf.engine.volumes import with_usage
from wharf.errors import Invalid
from wharf.spec.image_views import ImageSummary
from wharf.spec.volume import Volume

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

TYPES = frozenset(("container", "image", "volume", "build-cache"))


@dataclass(slots=True)
class DiskUsage:
    """Bytes of all layers, and each thing with its own; None where it was not asked for.

    `container_sizes`: container id -> (bytes it changed, bytes of its whole tree).
    """

    layers_size: int = 0
    images: list[ImageSummary] | None = None
    volumes: list[Volume] | None = None
    container_sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


def disk_usage(engine: Engine, types: set[str] | None = None) -> DiskUsage:
    """Raises Invalid for an unknown type; no type means all."""
    wanted = types or set(TYPES)
    for name in wanted - TYPES:
        raise Invalid(f"unknown object type: {name[:100]}")
    usage = DiskUsage()
    if "image" in wanted:
        usage.images = list_images(engine, {}, all=True, shared_size=True)
        layers = {
            chain_id: size
            for image in engine.images.all()
            for chain_id, size in zip(image.chain, image.layer_sizes, strict=True)
        }
        usage.layers_size = sum(layers.values())
    if "volume" in wanted:
        # What options name is no disk of ours: Docker leaves such volumes out too.
        plain = [record for record in engine.database.volumes.all() if not record.options]
        usage.volumes = [with_usage(engine, record) for record in plain]
    if "container" in wanted:
        for record in engine.containers.all():
            usage.container_sizes[record.id] = sizes(engine, record)
    return usage
