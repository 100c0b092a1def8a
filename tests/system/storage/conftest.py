"""A store with its worker, and layers built entry by entry."""

import io
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.worker import ForkedWorker
from wharf.kernel import mounts
from wharf.kernel.probe import probe
from wharf.spec.digest import Digest
from wharf.spec.host import Host
from wharf.storage.archives.jobs import JOBS as ARCHIVE_JOBS
from wharf.storage.layers.header import END, Entry, format_entry, padding
from wharf.storage.layers.jobs import JOBS as LAYER_JOBS
from wharf.storage.layers.pack import changes, pack
from wharf.storage.layers.unpack import Applied, unpack
from wharf.storage.limits import Limits
from wharf.storage.snapshots.overlay import OverlaySnapshotter
from wharf.storage.trash import Trash

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def archive(*entries: Entry | tuple[Entry, bytes]) -> bytes:
    """An uncompressed archive; an entry with data gets its size."""
    out = io.BytesIO()
    for item in entries:
        entry, data = item if isinstance(item, tuple) else (item, b"")
        entry.size = len(data)
        out.write(format_entry(entry) + data + padding(len(data)))
    return out.getvalue() + END


@dataclass
class Store:
    """Snapshots in a directory whose surroundings are watched for writes that escaped."""

    snapshots: OverlaySnapshotter
    worker: ForkedWorker
    host: Host
    top: Path

    def apply(self, data: bytes, parent: Digest | None = None, limits: Limits | None = None) -> Digest:
        """Unpack and commit a layer (named by the digest of its data), or leave nothing."""
        name = Digest.of(data + str(parent).encode())
        self.snapshots.prepare("extract-x", parent)
        try:
            self.unpack(data, "extract-x", limits)
            self.snapshots.commit("extract-x", name)
        except BaseException:
            self.snapshots.remove("extract-x")
            raise
        return name

    def unpack(self, data: bytes, key: str, limits: Limits | None = None) -> Applied:
        layer = self.snapshots.layers(key)
        return unpack(
            self.worker, io.BytesIO(data), layer, host=self.host, name="sha256:feed", limits=limits or Limits()
        )

    def diff(self, key: str) -> bytes:
        out = io.BytesIO()
        pack(self.worker, self.snapshots.layers(key), out, host=self.host)
        return out.getvalue()

    def changes(self, key: str) -> list[tuple[int, str]]:
        return changes(self.worker, self.snapshots.layers(key), host=self.host)

    def mount(self, key: str) -> Path:
        """Mount the snapshot; unmounted at the end of the test."""
        (mount,) = self.snapshots.mounts(key)
        target = self.top / "mounted" / key
        target.mkdir(parents=True)
        if mount.overlay is None:
            mounts.mount(mount.source, str(target), None, mounts.MS_BIND)
        else:
            overlay = mount.overlay
            mounts.overlay(overlay.lower, overlay.upper, overlay.work, str(target), overlay.options)
        return target

    def unmount(self, key: str) -> None:
        mounts.umount(str(self.top / "mounted" / key))
        (self.top / "mounted" / key).rmdir()

    def outside(self) -> str:
        """All there is outside of the snapshots' own trees, with times."""
        found = subprocess.run(
            ["find", str(self.top), "-path", "*/snapshots/*/*/fs/*", "-prune", "-o",
             "-type", "d", "-printf", "%p %m\\n", "-o", "-printf", "%p %m %s %y\\n"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return found.stdout


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    snapshots = OverlaySnapshotter(str(tmp_path / "snapshots"), probe(), Trash(str(tmp_path / "trash")))
    made = Store(snapshots, ForkedWorker({**LAYER_JOBS, **ARCHIVE_JOBS}), probe(), tmp_path)
    yield made
    mounted = tmp_path / "mounted"
    for key in os.listdir(mounted) if mounted.exists() else ():
        mounts.umount(str(mounted / key), mounts.MNT_DETACH)
