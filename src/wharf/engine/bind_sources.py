"""Paths of the host that a container mounts."""

from __future__ import annotations

import os

from wharf.errors import Invalid
from wharf.spec.container import ContainerRecord


def make_bind_sources(record: ContainerRecord) -> None:
    """Directories that -v names and that are missing are made, as Docker does; for --mount they must be there."""
    for point, request in zip(record.mounts, record.mount_requests, strict=True):
        if point.type != "bind" or os.path.lexists(point.source):
            continue
        if request.bind_options and request.bind_options.create_mountpoint:
            os.makedirs(point.source, mode=0o755, exist_ok=True)
        else:
            raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {point.source}')
