"""The containers of an engine, with what other use cases need of a live one: its root, its mounts, its freezer."""

import contextlib
import os

from wharf.engine.container import Containers
from wharf.engine.freezer import held_still
from wharf.engine.image_mounts import layers_of
from wharf.engine.mount_spec import subpath_of
from wharf.kernel import mounts as mnt
from wharf.spec.container import ContainerRecord
from wharf.spec.mount import Mount
from wharf.storage.snapshots.overlay import OverlaySnapshotter


class LiveContainers(Containers):
    """See the module."""

    def __init__(self, snapshots: OverlaySnapshotter) -> None:
        super().__init__()
        self._snapshots = snapshots

    def open_mount_namespace(self, record: ContainerRecord) -> int | None:
        """A descriptor of the running container's mount namespace, the caller's; None when nothing runs."""
        running = self.live(record.id).running
        if running is None:
            return None
        with contextlib.suppress(OSError):
            fd = os.open(f"/proc/{running.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if running.pidfd >= 0:  # ended meanwhile: the number may be another's
                return fd
            os.close(fd)
        return None

    def mounts(self, record: ContainerRecord, work: str = "") -> list[Mount]:
        """The root (with `work` for its work directory), then volumes and binds, as start makes them; file systems in
        memory are left out."""
        out = list(self._snapshots.mounts(record.id, work))
        for point, request in zip(record.mounts, record.mount_requests, strict=True):
            if point.type == "tmpfs":
                continue
            if point.type == "image":
                part = subpath_of(request)
                layers = layers_of(self._snapshots, record, point)
                options_ = (mnt.SUBDIR + part,) if part else ()
                out.append(Mount("overlay", point.source, point.destination, options_, layers))
                continue
            shown = ("idmap",) if point.type == "volume" else ()  # its files have the ids of the image
            options = ["rbind", "rw" if point.rw else "ro", *shown]
            if request.volume_options and request.volume_options.subpath:
                options.append(mnt.SUBDIR + request.volume_options.subpath)
            out.append(Mount("bind", point.source, point.destination, tuple(options)))
        return out

    def held_still(self, record: ContainerRecord) -> contextlib.AbstractContextManager[None]:
        """See `freezer`."""
        return held_still(self.live(record.id))
