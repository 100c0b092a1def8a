"""A log file that rotates: `name`, `name.1`, `name.2` …, the older ones as `.gz` when they are compressed.

A shipper that sends the log elsewhere may lag behind. With `guarded` no file is dropped that holds what was not
shipped: the file grows beyond its size instead and `stuck` says that the container has to wait.
"""

import contextlib
import os
import zlib
from collections.abc import Callable

Cut = Callable[[bytes, int], int]
"""Of some records and a number of bytes: the end of the first record that ends at or after it."""
_GZIP = 31  # zlib's wbits for a gzip header
_PIECE = 1 << 18


class RotatingFile:
    """The current file and the shift of its predecessors. `max_size` in bytes, -1: it never rotates."""

    def __init__(
        self, path: str, max_size: int = -1, max_file: int = 1, compress: bool = False, guarded: bool = False
    ) -> None:
        """Raises OSError when the file cannot be opened."""
        self._path, self._max_size, self._max_file = path, max_size, max_file
        self._compress, self._guarded = compress, guarded
        self._fd = self._open()
        self.size = os.fstat(self._fd).st_size
        self._last = 0
        self._ends: list[int] = [0 for number in range(1, max_file) if self._existing(number)] if guarded else []
        """Times of the last records of the predecessors, oldest first; 0: of an earlier run."""
        self._shipped = -1
        self._compressor = 0
        self._torn = False
        """Whether behind `size` lies half a record that could not be cut off yet."""
        self.stuck = False

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def append(self, records: bytes, now_ns: int, cut: Cut) -> None:
        """Append records, all of one time. As with Docker a file ends with the record that reaches the size."""
        if self._max_size > 0:
            while self.size + len(records) > self._max_size:
                if self.size >= self._max_size:
                    if not self._rotate():
                        break
                    continue
                end = cut(records, self._max_size - self.size)
                self._write(records[:end], cut)
                self._last = now_ns
                records = records[end:]
                if not records:
                    return
        self._write(records, cut)
        self._last = now_ns

    def _write(self, data: bytes, cut: Cut) -> None:
        """As many whole records as find room; half of one would cost the reader the next one, too."""
        if self._torn and not self._cut_off(self.size):
            return
        view, written = memoryview(data), 0
        try:
            while written < len(data):
                written += os.write(self._fd, view[written:])
        except OSError:
            whole = 0
            while (end := whole + cut(data[whole:], 1)) <= written:
                whole = end
            self.size += whole
            if whole < written:
                self._cut_off(self.size)
            return
        self.size += written

    def _cut_off(self, size: int) -> bool:
        """Take away what lies behind `size`; whether that could be done."""
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            self._torn = True
            return False
        self._torn = False
        return True

    def shipped(self, until_ns: int) -> None:
        """What was written up to that time may be dropped."""
        self._shipped = until_ns
        self.stuck = self.stuck and not self._may_drop()

    def _may_drop(self) -> bool:
        if not self._guarded or len(self._ends) < self._max_file - 1:
            return True
        return self._shipped >= (self._ends[0] if self._ends else self._last)

    def _rotate(self) -> bool:
        if not self._may_drop():
            self.stuck = True
            return False
        try:
            if self._max_file < 2:
                os.ftruncate(self._fd, 0)
            else:
                self._shift()
                if self._guarded:
                    self._ends = [*self._ends, self._last][-(self._max_file - 1) :]
            self.size = 0
        except OSError:
            return False
        return True

    def _existing(self, number: int) -> str | None:
        for suffix in ("", ".gz"):
            if os.path.exists(f"{self._path}.{number}{suffix}"):
                return suffix
        return None

    def _shift(self) -> None:
        self._await_compressor()
        for number in range(self._max_file - 1, 0, -1):
            suffix = self._existing(number)
            if suffix is None:
                continue
            name = f"{self._path}.{number}{suffix}"
            if number == self._max_file - 1:
                os.unlink(name)
            else:
                os.rename(name, f"{self._path}.{number + 1}{suffix}")
        os.rename(self._path, f"{self._path}.1")
        os.close(self._fd)
        self._fd = self._open()
        if self._compress:
            self._compressor = _compress_aside(f"{self._path}.1")

    def _await_compressor(self) -> None:
        """One at a time, as with Docker: a container that writes faster than a core compresses waits here."""
        if self._compressor:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._compressor, 0)
            self._compressor = 0

    def close(self) -> None:
        """Close the file; what is being compressed is finished."""
        self._await_compressor()
        os.close(self._fd)


def _compress_aside(path: str) -> int:
    """Compress in a process of its own, which holds nothing else that its parent had open; its id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.nice(10)
        source = os.open(path, os.O_RDONLY)
        target = os.open(f"{path}.gz.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        os.dup2(source, 0)
        os.dup2(target, 1)
        os.closerange(2, 1 << 20)
        _compress(0, 1)
        written = os.fstat(0)
        os.utime(1, ns=(written.st_atime_ns, written.st_mtime_ns))  # a reader knows the file again by it
        os.rename(f"{path}.gz.tmp", f"{path}.gz")
        os.unlink(path)
    finally:
        os._exit(0)  # what failed leaves the plain file, which is read as well


def _compress(source: int, target: int) -> None:
    packer = zlib.compressobj(wbits=_GZIP)
    while block := os.read(source, _PIECE):
        _write_all(target, packer.compress(block))
    _write_all(target, packer.flush())


def _write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]
