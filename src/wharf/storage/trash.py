"""Deletion: rename into the trash at once, empty it in the background.

Removing a large tree takes seconds and slows every other writer, so nobody waits for it. What a crash leaves in the
trash is emptied at the next start. Nothing in the trash has a name that anybody looks up.
"""

import contextlib
import os
import secrets
import threading

from wharf.kernel import paths


class Trash:
    """`<data-root>/trash`. `start` runs the emptying thread, `close` ends it (the rest waits for the next start)."""

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, mode=0o700, exist_ok=True)
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._emptying = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to empty in the background, what an earlier run left first."""
        self._thread = threading.Thread(target=self._run, name="trash", daemon=True)
        self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread; blocks for at most one entry of the trash."""
        self._closed.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def discard(self, path: str) -> None:
        """Take `path` (file or directory) away; a missing one is fine. It must lie on the trash's file system."""
        try:
            os.rename(path, os.path.join(self.root, secrets.token_hex(8)))
        except FileNotFoundError:
            return
        self._wake.set()

    def empty(self) -> None:
        """Remove everything in the trash now; what cannot be removed (a busy mount) stays for the next time."""
        with self._emptying:
            fd = os.open(self.root, paths.DIRECTORY)
            try:
                for name in os.listdir(fd):
                    if self._closed.is_set():
                        return
                    try:
                        paths.remove(fd, os.fsencode(name))
                    except OSError:
                        continue
            finally:
                os.close(fd)

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(OSError):  # no descriptor is free: the next discard wakes us again
                self.empty()
