"""Unpacking a blob into a snapshot: decompress and hash here, write files in a worker.

The worker is a process of its own, so writing thousands of files does not hold the daemon's interpreter lock, and
whatever an archive does to it stays there.
"""

import hashlib
import io
import os
import queue
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from wharf.errors import Invalid, WharfError
from wharf.kernel import paths
from wharf.kernel.threads import start
from wharf.spec.digest import Digest
from wharf.spec.host import Host
from wharf.storage.compression import Readable, decompressed
from wharf.storage.limits import Limits
from wharf.storage.snapshots import LayerDirs

CHUNK = 1 << 20
_F_SETPIPE_SZ = 1031
_AHEAD = 4
"""Pieces that are decompressed and not yet written."""


class Worker(Protocol):
    """Runs one bounded job in a process of its own; raises the WharfError that the job raised."""

    def run(self, job: str, args: dict[str, Any], fds: Sequence[int]) -> dict[str, Any]:
        """`args` and the result are JSON; the job gets its own duplicates of `fds`."""


@dataclass(frozen=True, slots=True)
class Applied:
    """`size` is the bytes of the uncompressed archive, `entries` its headers."""

    diff_id: Digest
    size: int
    entries: int


def unpack(
    worker: Worker,
    source: Readable,
    layer: LayerDirs,
    *,
    host: Host,
    expected: Digest | None = None,
    known_diff_id: Digest | None = None,
    name: str = "",
    limits: Limits | None = None,
) -> Applied:
    """Apply the layer that `source` holds (plain, gzip, zstd, bzip2 or xz) to the snapshot `layer`.

    `expected` is compared with the diffID. `known_diff_id` says that the source is a plain archive with that verified
    digest: if it is a file, the worker then reads it by itself. `name` is the layer's, for messages.
    Raises Invalid naming the layer, and the entry or limit at fault. The snapshot is then half made: remove it.
    """
    limits = limits or Limits()
    args = _args(layer, host, limits)
    prefix = f"layer {name}: " if name else ""
    target = os.open(layer.upper, paths.DIRECTORY)
    try:
        descriptor = getattr(source, "fileno", None)
        if known_diff_id is not None and descriptor is not None:
            result = worker.run("layer.apply", args, [descriptor(), target])
            return Applied(known_diff_id, result["size"], result["entries"])
        applied = _through_pipe(worker, decompressed(source, limits), target, args)
    except Invalid as error:
        raise Invalid(prefix + error.message) from None
    finally:
        os.close(target)
    if expected is not None and applied.diff_id != expected:
        raise Invalid(f"{prefix}wrong digest: expected {expected}, it is {applied.diff_id}")
    return applied


def unpack_plain(
    worker: Worker, descriptor: int, layer: LayerDirs, *, host: Host, limits: Limits | None = None
) -> None:
    """Apply the plain archive that can be read from `descriptor`, hashed by nobody here: the caller stores it as well.

    Raises as `unpack`, without naming a layer.
    """
    target = os.open(layer.upper, paths.DIRECTORY)
    try:
        worker.run("layer.apply", _args(layer, host, limits or Limits()), [descriptor, target])
    finally:
        os.close(target)


def unpack_files(worker: Worker, source: Readable, directory: str, limits: Limits | None = None) -> int:
    """Unpack the archive that a client sent (plain or compressed) into a directory of the host: names are names, no
    device is made. Returns the bytes of the uncompressed archive. Raises Invalid."""
    limits = limits or Limits()
    args = {"limits": asdict(limits)}
    target = os.open(directory, paths.DIRECTORY)
    try:
        reader = decompressed(source, limits)
        if isinstance(source, io.BytesIO) and reader.kind == "plain":
            return _of_memory(worker, source, target, args)
        return _through_pipe(worker, reader, target, args, "files.context").size
    finally:
        os.close(target)


def _of_memory(worker: Worker, source: io.BytesIO, target: int, args: dict[str, Any]) -> int:
    """All of it is here: the worker reads it as a file, and nobody has to feed it."""
    with open(os.memfd_create("archive"), "r+b", buffering=0) as file:
        view = source.getbuffer()
        while view:
            view = view[file.write(view) :]
        file.seek(0)
        return int(worker.run("files.context", args, [file.fileno(), target])["size"])


def _args(layer: LayerDirs, host: Host, limits: Limits) -> dict[str, Any]:
    return {
        "lowers": list(layer.lowers),
        "xattr_prefix": host.xattr_prefix,
        "mknod": host.mknod,
        "limits": asdict(limits),
    }


def _through_pipe(
    worker: Worker, source: Readable, target: int, args: dict[str, Any], job: str = "layer.apply"
) -> Applied:
    feeder = _Feeder(source)
    try:
        result = worker.run(job, args, [feeder.read_end, target])
    except WharfError:
        feeder.close()
        if feeder.failure is not None:  # the archive was cut short because its source broke
            raise feeder.failure from None
        raise
    except BaseException:
        feeder.close()
        raise
    return Applied(feeder.finish(), result["size"], result["entries"])


class _Feeder:
    """Two threads: one decompresses, the other hashes and writes into a pipe. All of that releases the lock, so a
    layer comes as fast as the slower half."""

    def __init__(self, source: Readable) -> None:
        import fcntl

        self.read_end, self._write_end = os.pipe2(os.O_CLOEXEC)
        try:
            fcntl.fcntl(self._write_end, _F_SETPIPE_SZ, CHUNK)
        except OSError:
            pass  # the user's pipe quota is used up: slower, not wrong
        self.failure: Exception | None = None
        self._source = source
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[bytes] = queue.Queue(_AHEAD)
        self._refused = False
        self._threads = [
            threading.Thread(target=self._feed, name="layer-feed", daemon=True),
            threading.Thread(target=self._decompress, name="layer-read", daemon=True),
        ]
        try:
            for thread in self._threads:
                start(thread)
        except BaseException:
            self._abandon()
            raise

    def finish(self) -> Digest:
        """The digest of all that was fed; raises what reading the source raised."""
        self.close()
        if self.failure is not None:
            raise self.failure
        return Digest(self._hash.hexdigest())

    def close(self) -> None:
        """End the threads: the pipe's last reader goes, so a blocked write fails."""
        os.close(self.read_end)
        for thread in self._threads:
            thread.join()

    def _abandon(self) -> None:
        """Not both threads could be started; the one that feeds, if it runs, closes the write end."""
        os.close(self.read_end)
        if self._threads[0].is_alive():
            self._pieces.put(b"")
            self._threads[0].join()
        else:
            os.close(self._write_end)

    def _decompress(self) -> None:
        """b"" ends the pieces, whatever happens."""
        try:
            while not self._refused and (data := self._source.read(CHUNK)):
                self._pieces.put(data)
        except Exception as error:  # handed to the thread that waits
            self.failure = error
        finally:
            self._pieces.put(b"")

    def _feed(self) -> None:
        try:
            while data := self._pieces.get():
                self._hash.update(data)
                view = memoryview(data)
                while view:
                    view = view[os.write(self._write_end, view) :]
        except BrokenPipeError:
            self._refused = True  # the worker refused the archive; its error is the one that counts
            while self._pieces.get():
                pass
        finally:
            os.close(self._write_end)
