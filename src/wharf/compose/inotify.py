"""Changes beneath paths, as inotify tells them (inotify(7)): directories are watched with all that is in them."""

import ctypes
import os
import select
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x8, 0x40, 0x80
_CREATE, _DELETE, _ATTRIB, _DELETE_SELF = 0x100, 0x200, 0x4, 0x400
_IS_DIR, _OVERFLOW, _IGNORED = 0x40000000, 0x4000, 0x8000
_WANTED = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ATTRIB | _DELETE_SELF
_EVENT = struct.Struct("iIII")
MAX_DIRECTORIES = 50_000


class Inotify:
    """One instance; `with` closes it."""

    def __init__(self) -> None:
        self._fd = _LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "inotify_init1")
        self._directories: dict[int, str] = {}
        self._wakeup = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __enter__(self) -> "Inotify":
        return self

    def __exit__(self, *exception: object) -> None:
        for descriptor in (self._fd, *self._wakeup):
            os.close(descriptor)

    def stop(self) -> None:
        """Ends a `read` that waits; may be called from a signal's handler or another thread."""
        os.write(self._wakeup[1], b"x")

    def watch(self, path: str) -> None:
        """A directory and what is in it, or the directory of a file; raises OSError."""
        if not os.path.isdir(path):
            self._add(os.path.dirname(path))
            return
        self._add(path)
        for directory, names, _ in os.walk(path):
            for name in names:
                place = os.path.join(directory, name)
                if not os.path.islink(place):
                    self._add(place)

    def _add(self, path: str) -> None:
        if len(self._directories) >= MAX_DIRECTORIES:
            raise OSError(28, f"more than {MAX_DIRECTORIES} directories to watch", path)
        watch = _LIBC.inotify_add_watch(self._fd, os.fsencode(path), _WANTED)
        if watch < 0:
            error = ctypes.get_errno()
            if error in (2, 20):
                return  # gone meanwhile
            raise OSError(error, os.strerror(error), path)
        self._directories[watch] = path

    def read(self, timeout: float | None) -> set[str] | None:
        """Paths that have changed, an empty set when none did in time, None after `stop`."""
        ready, _, _ = select.select([self._fd, self._wakeup[0]], [], [], timeout)
        if self._wakeup[0] in ready:
            return None
        changed: set[str] = set()
        while ready:
            try:
                data = os.read(self._fd, 1 << 16)
            except BlockingIOError:
                break
            self._take(data, changed)
        return changed

    def _take(self, data: bytes, changed: set[str]) -> None:
        position = 0
        while position < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, position)
            name = os.fsdecode(data[position + _EVENT.size : position + _EVENT.size + length].rstrip(b"\0"))
            position += _EVENT.size + length
            if mask & _OVERFLOW:
                changed.update(self._directories.values())
                continue
            directory = self._directories.get(watch)
            if mask & _IGNORED:
                self._directories.pop(watch, None)
            if directory is None or not name:
                continue
            path = os.path.join(directory, name)
            changed.add(path)
            if mask & _IS_DIR and mask & (_CREATE | _MOVED_TO):
                self.watch(path)
                changed.update(os.path.join(place, file) for place, _, files in os.walk(path) for file in files)
