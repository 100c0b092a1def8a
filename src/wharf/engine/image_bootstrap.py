"""Make a base image from the distribution's package archive."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wharf.engine.image_events import publish_image_event
from wharf.spec.digest import Digest
from wharf.transfer.bootstrap.request import BootstrapRequest

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

__all__ = ["BootstrapRequest", "bootstrap_image", "clear_scratch"]


def clear_scratch(engine: Engine) -> None:
    """At start: throw away what a bootstrap that was cut off left."""
    engine.trash.discard(_scratch(engine))


def _scratch(engine: Engine) -> str:
    return os.path.join(engine.config.data_root, "tmp")


def bootstrap_image(engine: Engine, request: BootstrapRequest, progress: Callable[[dict[str, Any]], None]) -> Digest:
    """The new image's id; `progress` gets Docker's status messages, the last one with the image's name.

    Raises Invalid for a bad request, Unavailable or NotFound when the archive cannot be reached or believed.
    """
    from wharf.transfer.bootstrap.image import bootstrap  # megabytes of HTTP client: only when it is wanted

    scratch = _scratch(engine)
    os.makedirs(scratch, mode=0o700, exist_ok=True)
    record = bootstrap(engine.images, request, lambda line: progress({"status": line}), scratch)
    publish_image_event(engine, "import", record)
    for name in record.names:
        publish_image_event(engine, "tag", record, name.familiar())
        progress({"stream": f"Made image: {name.familiar()}\n"})
    progress({"status": str(record.id)})
    return record.id
