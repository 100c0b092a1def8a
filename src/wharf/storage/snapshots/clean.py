"""Which committed snapshots are known to be on the disk: the marker, and the thread that takes it away."""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable

from wharf.kernel.syncing import sync_file_system

RETRY_S = 5.0
"""Seconds after a sync that failed (no descriptor free, a disk in trouble) until the next."""
_NAME = "unsynced"
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""Of syncfs(2): something was not written, and the next call may not say so again."""
log = logging.getLogger("wharf.storage")


class CleanMarker:
    """Markers of the snapshots in `committed`. A marker holds the boot id under which the snapshot was written."""

    def __init__(
        self,
        committed: str,
        boot_id: str,
        retry_s: float = RETRY_S,
        sync_all: Callable[[str], None] = sync_file_system,
    ) -> None:
        self._committed = committed
        self._boot_id = boot_id
        self._retry_s = retry_s
        self._sync_all = sync_all
        self._doubtful: set[str] = set()
        """What a failed sync had covered: it keeps its marker, for no later sync can vouch for it."""
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
        """Sync the file system and take the markers away that were there before. Raises OSError."""
        names = [name for name in self._marked() if name not in self._doubtful]
        if not names:
            return
        try:
            self._sync_all(self._committed)
        except OSError as error:
            if error.errno in _LOST:
                self._doubtful.update(names)
            raise
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                os.unlink(os.path.join(self._committed, name, _NAME))

    def _marked(self) -> list[str]:
        names = os.listdir(self._committed)
        return [name for name in names if os.path.exists(os.path.join(self._committed, name, _NAME))]

    def _run(self) -> None:
        """Until `close`, with one sync more for what came right before it."""
        pause: float | None = None
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            closed = self._closed
            try:
                self.sync()
                pause = None
            except OSError as error:
                log.warning("unpacked layers are not on the disk yet: %s: %s", self._committed, error)
                pause = self._retry_s
            if closed:
                return
