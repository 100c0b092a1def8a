"""Files in and out of a container: what `docker cp` asks for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from wharf.engine.bind_sources import make_bind_sources
from wharf.engine.container_events import publish_volume_events
from wharf.engine.id_maps import maps_of_process
from wharf.engine.status import refuse_going
from wharf.engine.volume_mounts import held
from wharf.errors import Conflict, Invalid, NotFound, WharfError
from wharf.spec.container import ContainerRecord
from wharf.spec.image_views import PathStat
from wharf.storage.compression import decompressed
from wharf.storage.content import Readable
from wharf.storage.metadata.codec import encode_value
from wharf.transfer.piping import job_to_sink, source_to_job
from wharf.transfer.tar_writer import Sink

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_PATH = 4096
_ROOT_READ_ONLY = "container rootfs is marked read-only"
_MOUNT_READ_ONLY = "mounted volume is marked read-only"


def stat_path(engine: Engine, container: str, path: str) -> PathStat:
    """A path in a container, the link itself where it is one. Raises NotFound with Docker's words, Invalid."""
    record = engine.containers.find(container)
    with _volumes(engine, record):
        return _stat(engine, record, container, path)


def get_archive(engine: Engine, container: str, path: str) -> tuple[PathStat, Callable[[Sink], None]]:
    """The path's stat, and what writes its tar. Raises as `stat_path`."""
    record = engine.containers.find(container)
    stat = _stat(engine, record, container, path)

    def write(out: Sink) -> None:
        with _volumes(engine, record):
            with _rooted(engine, record, container, path) as (args, fds):
                job_to_sink(lambda pipe: engine.worker.run("archive.get", args, (*fds, pipe)), out)
            # What a removal has taken away by now is not in it.
            refuse_going(engine.containers.find(record.id), "copy")
            _publish(engine, record, "archive-path")

    return stat, write


def put_archive(
    engine: Engine,
    container: str,
    path: str,
    stream: Readable,
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Unpack a (maybe compressed) tar into a directory of the container.

    Raises NotFound for a missing directory, Invalid for what is none, for a read-only target or a damaged tar.
    """
    record = engine.containers.find(container)
    with _volumes(engine, record), _rooted(engine, record, container, path) as (args, fds):
        args.update(
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
            copy_uid_gid=copy_uid_gid,
            user=record.config.user,
            read_only=_read_only(record),
        )
        try:
            source_to_job(decompressed(stream), lambda pipe: engine.worker.run("archive.put", args, (*fds, pipe)))
        except (WharfError, OSError):
            engine.containers.find(record.id)  # says it when the container was removed meanwhile
            raise
        _publish(engine, record, "extract-to-dir")


def _stat(engine: Engine, record: ContainerRecord, container: str, path: str) -> PathStat:
    with _rooted(engine, record, container, path) as (args, fds):
        found = engine.worker.run("archive.stat", args, fds)
    return PathStat(found["name"], found["size"], found["mode"], found["mtime"], found["linkTarget"])


@contextlib.contextmanager
def _rooted(
    engine: Engine, record: ContainerRecord, container: str, path: str
) -> Iterator[tuple[dict[str, Any], tuple[int, ...]]]:
    """Arguments and descriptors that lead a job to the container's root and volumes."""
    if "\0" in path or len(path) > MAX_PATH:
        raise Invalid("invalid path: it holds a null byte or is too long")
    try:
        with _entered(engine, record) as (seen, fds):
            yield {"path": path, "container": container, **seen}, fds
    except (FileNotFoundError, NotFound):  # removed in the meantime, or about to be: it says so
        refuse_going(engine.containers.find(record.id), "copy")
        raise


@contextlib.contextmanager
def _entered(engine: Engine, record: ContainerRecord) -> Iterator[tuple[dict[str, Any], tuple[int, ...]]]:
    """What a job mounts, and the namespaces that it joins; none where nothing runs."""
    namespace = engine.containers.open_mount_namespace(record)
    if namespace is None:
        make_bind_sources(record)  # as for a start: the copy looks through the mounts
        with held(engine, record), engine.snapshots.own_work(record.id) as work:  # a start may come meanwhile
            yield {"mounts": _mounts(engine, record, work), "running": False}, ()
        return
    try:
        seen = {"mounts": _mounts(engine, record), "running": True}
        running = engine.containers.live(record.id).running
        if running is None or maps_of_process(running.pid) is None:
            yield seen, (namespace,)
            return
        userns = running.namespace("user")
        try:
            yield {**seen, "userns": True}, (namespace, userns)
        finally:
            os.close(userns)
    except ProcessLookupError:
        raise Conflict(f"container {record.id} is not running") from None
    finally:
        os.close(namespace)


def _mounts(engine: Engine, record: ContainerRecord, work: str = "") -> list[Any]:
    return [encode_value(mount) for mount in engine.containers.mounts(record, work)]


def _read_only(record: ContainerRecord) -> list[list[str]]:
    """Places that a copy must not write to, and how to say so; the longest that leads to a path counts."""
    places = [["/", _ROOT_READ_ONLY if record.host_config.readonly_rootfs else ""]]
    places += [[mount.destination, "" if mount.rw else _MOUNT_READ_ONLY] for mount in record.mounts]
    return places


@contextlib.contextmanager
def _volumes(engine: Engine, record: ContainerRecord) -> Iterator[None]:
    """Docker mounts a container's volumes for a copy, and says so."""
    publish_volume_events(engine, record, "mount")
    try:
        yield
    finally:
        publish_volume_events(engine, record, "unmount")


def _publish(engine: Engine, record: ContainerRecord, action: str) -> None:
    labels = record.config.labels or {}
    attributes = {**labels, "image": record.config.image, "name": record.name}
    engine.events.publish("container", action, record.id, attributes)
