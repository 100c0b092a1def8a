"""An image store, and as much of an engine as the image use cases need, in a temporary directory."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.worker import ForkedWorker
from wharf.engine.volume_holds import VolumeHolds
from wharf.errors import NotFound
from wharf.kernel.probe import probe
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig
from wharf.spec.mount import Mount
from wharf.storage.archives.jobs import JOBS as ARCHIVE_JOBS
from wharf.storage.content import ContentStore
from wharf.storage.layers.jobs import JOBS
from wharf.storage.metadata import Database
from wharf.storage.snapshots.overlay import OverlaySnapshotter
from wharf.storage.trash import Trash
from wharf.storage.volumes import VolumeStore
from wharf.transfer.store import ImageStore


class Events:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str, dict[str, str]]] = []

    def publish(self, kind: str, action: str, actor: str, attributes: dict[str, str]) -> None:
        self.seen.append((kind, action, actor, attributes))

    def actions(self) -> list[str]:
        return [f"{kind} {action}" for kind, action, _, _ in self.seen]


class Containers:
    """Records in memory."""

    def __init__(self, snapshots: OverlaySnapshotter) -> None:
        self.records: list[ContainerRecord] = []
        self.snapshots = snapshots
        self.frozen: list[str] = []

    def open_mount_namespace(self, record: ContainerRecord) -> int | None:
        return None

    def mounts(self, record: ContainerRecord, work: str = "") -> list[Mount]:
        options = {True: ("rbind",), False: ("rbind", "ro")}
        binds = [Mount("bind", item.source, item.destination, options[item.rw]) for item in record.mounts]
        return [*self.snapshots.mounts(record.id, work), *binds]

    @contextmanager
    def held_still(self, record: ContainerRecord) -> Iterator[None]:
        self.frozen.append(f"freeze {record.name}")
        yield
        self.frozen.append(f"thaw {record.name}")

    def all(self) -> list[ContainerRecord]:
        return list(self.records)

    def find(self, name: str) -> ContainerRecord:
        for record in self.records:
            if name in (record.id, record.name):
                return record
        raise NotFound(f"No such container: {name}")

    def add(self, image_id: str, *, running: bool = False, **fields: Any) -> ContainerRecord:
        number = len(self.records) + 1
        config = fields.pop("config", ContainerConfig(cmd=["sh"]))
        record = ContainerRecord(f"{number:x}" * 64, f"c{number}", "", image_id, config, HostConfig(), **fields)
        record.state.running = running
        self.records.append(record)
        return record


class ImageEngine:
    """The fields of an engine that image and volume use cases touch."""

    def __init__(self, root: Path) -> None:
        self.host = probe()
        self.trash = Trash(str(root / "trash"))
        self.trash.start()
        self.database = Database(str(root / "wharf.db"))
        self.content = ContentStore(str(root / "content"))
        self.snapshots = OverlaySnapshotter(str(root / "snapshots"), self.host, self.trash)
        self.snapshots.start()
        self.volumes = VolumeStore(str(root / "volumes"), self.trash)
        self.volume_holds = VolumeHolds()
        self.worker = ForkedWorker({**JOBS, **ARCHIVE_JOBS})
        self.images = ImageStore(self.database, self.content, self.snapshots, self.worker, self.host)
        self.images.restore()
        self.events = Events()
        self.containers = Containers(self.snapshots)

    def close(self) -> None:
        self.snapshots.close()
        self.database.close()
        self.trash.close()

    def blobs(self) -> set[str]:
        """Digests of everything in the blob store."""
        return {str(digest) for digest in self.content.digests()}

    def leftovers(self) -> list[str]:
        """Half-made blobs and snapshots."""
        ingest = Path(self.content.root) / "ingest"
        return [name for name in os.listdir(ingest) if name != ".unsynced"] + list(self.snapshots.keys())


@contextmanager
def image_engine(root: Path) -> Iterator[Any]:
    """An engine for images beneath `root`, closed at the end."""
    engine = ImageEngine(root)
    try:
        yield engine
    finally:
        engine.close()


class Sink(io.BytesIO):
    """Collects what is written."""


class SlowSource:
    """A stream that gives odd pieces, as a socket does."""

    def __init__(self, data: bytes, piece: int = 7777) -> None:
        self._file = io.BytesIO(data)
        self._piece = piece
        self.lock = threading.Lock()

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._piece))
