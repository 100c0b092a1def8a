"""Deletion: rename into the trash at once, empty it in the background.

Removing a large tree takes seconds and slows every other writer, so nobody waits for it. What a crash leaves in the
trash is emptied at the next start. Nothing in the trash has a name that anybody looks up.

Layers have many files: where there is a worker it removes them, so that this takes neither the interpreter's lock nor
a processor from what is unpacked right after, as a pull of the same image is.
"""

import contextlib
import os
import secrets
import threading

from wharf.errors import WharfError
from wharf.kernel import paths
from wharf.storage.layers.unpack import Worker

_LARGE = ".large"


class Trash:
    """`<data-root>/trash`. `start` runs the emptying thread, `close` ends it (the rest waits for the next start)."""

    def __init__(self, root: str, worker: Worker | None = None) -> None:
        self.root, self._worker = root, worker
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

    def discard(self, path: str, *, large: bool = False) -> None:
        """Take `path` (file or directory) away; a missing one is fine. It must lie on the trash's file system.

        `large`: a tree of many files, left to a worker.
        """
        try:
            os.rename(path, os.path.join(self.root, secrets.token_hex(8) + (_LARGE if large else "")))
        except FileNotFoundError:
            return
        self._wake.set()

    def empty(self) -> None:
        """Remove everything in the trash now; what cannot be removed (a busy mount) stays for the next time."""
        with self._emptying:
            fd = os.open(self.root, paths.DIRECTORY)
            try:
                for name in sorted(os.listdir(fd), key=_is_large):
                    if self._closed.is_set():
                        return
                    with contextlib.suppress(OSError):
                        self._remove(fd, name)
            finally:
                os.close(fd)

    def _remove(self, fd: int, name: str) -> None:
        if self._worker is not None and _is_large(name):
            try:
                self._worker.run("trash.remove", {"name": name}, [fd])
                return
            except WharfError:  # there is no worker (yet, or any more), or it was killed
                if self._closed.is_set():
                    return
        paths.remove(fd, os.fsencode(name))

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            with contextlib.suppress(OSError):  # no descriptor is free: the next discard wakes us again
                self.empty()


def _is_large(name: str) -> bool:
    return name.endswith(_LARGE)
