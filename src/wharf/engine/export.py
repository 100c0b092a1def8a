"""Export: a container's whole root file system as a tar, its volumes left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wharf.engine.status import refuse_going
from wharf.spec.mount import Mount, Overlay
from wharf.storage.metadata.codec import encode_value
from wharf.transfer.piping import job_to_sink
from wharf.transfer.tar_writer import Sink

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def export_container(engine: Engine, container: str) -> Callable[[Sink], None]:
    """What writes the tar. Raises NotFound, Conflict for a container that is being removed."""
    record = engine.containers.find(container)
    refuse_going(record, "export")

    def write(out: Sink) -> None:
        try:
            args = {"mounts": [encode_value(root_view(engine, record.id))], "path": "/", "container": container}
            job_to_sink(lambda pipe: engine.worker.run("archive.export", args, (pipe,)), out)
        finally:  # what a removal has taken away by now is not in it, whether or not that was noticed
            refuse_going(engine.containers.find(record.id), "export")
        labels = record.config.labels or {}
        attributes = {**labels, "image": record.config.image, "name": record.name}
        engine.events.publish("container", "export", record.id, attributes)

    return write


def root_view(engine: Engine, key: str) -> Mount:
    """A read-only mount of a container's tree that does not disturb the one it runs on.

    Its upper directory serves as the topmost lower: overlayfs refuses to share an upper between two writable
    mounts, and reads whiteouts in a lower just the same.
    """
    dirs = engine.snapshots.layers(key)
    lower = (dirs.upper, *dirs.lowers)
    if len(lower) == 1:
        return Mount("bind", source=dirs.upper, options=("bind", "ro"))
    return Mount("overlay", source="overlay", options=("ro",), overlay=Overlay(lower))
