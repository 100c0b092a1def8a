"""Which committed snapshots are known to be on the disk: the marker, and the thread that takes it away."""

import contextlib
import os
import threading

from wharf.kernel.syncing import sync_file_system

_NAME = "unsynced"


class CleanMarker:
    """Markers of the snapshots in `committed`. A marker holds the boot id under which the snapshot was written."""

    def __init__(self, committed: str, boot_id: str) -> None:
        self._committed = committed
        self._boot_id = boot_id
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def put(self, directory: str) -> None:
        """Mark the snapshot in `directory`, before it becomes visible."""
        with open(os.path.join(directory, _NAME), "w") as file:
            file.write(self._boot_id)

    def unclean(self) -> list[str]:
        """Names of the snapshots that another boot left unsynced. Those of this boot are in the page cache, whole."""
        found = []
        for name in self._marked():
            with open(os.path.join(self._committed, name, _NAME)) as file:
                if file.read() != self._boot_id:
                    found.append(name)
        return found

    def start(self) -> None:
        """Run the thread; what a killed run left marked is synced first."""
        self._thread = threading.Thread(target=self._run, name="snapshot-sync", daemon=True)
        self._thread.start()
        self.wake()

    def wake(self) -> None:
        """There is something to sync."""
        self._wake.set()

    def close(self) -> None:
        """End the thread once everything is synced."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def sync(self) -> None:
        """Sync the file system and take the markers away that were there before."""
        names = self._marked()
        if not names:
            return
        sync_file_system(self._committed)
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                os.unlink(os.path.join(self._committed, name, _NAME))

    def _marked(self) -> list[str]:
        names = os.listdir(self._committed)
        return [name for name in names if os.path.exists(os.path.join(self._committed, name, _NAME))]

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            self.sync()
