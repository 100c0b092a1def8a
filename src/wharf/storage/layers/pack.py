"""Asking a worker for a layer's archive and for its list of changes."""

import json
import os
import threading
from typing import Any, Protocol

from wharf.kernel import paths
from wharf.spec.host import Host
from wharf.storage.layers.unpack import Worker
from wharf.storage.snapshots import LayerDirs

CHUNK = 1 << 20


class Writable(Protocol):
    """Takes bytes, blocking."""

    def write(self, data: bytes, /) -> object: ...


def pack(
    worker: Worker,
    layer: LayerDirs,
    out: Writable,
    *,
    host: Host,
    newest: int | None = None,
    after: tuple[str, dict[str, Any]] | None = None,
) -> int:
    """Write the layer's own files to `out` as an uncompressed, deterministic archive; returns its bytes.

    No entry is younger than `newest`, in seconds since 1970, where that is given. `after`: a job that changes the layer
    and then, asked for `pack`, writes it; with its other arguments.
    """
    upper = os.open(layer.upper, paths.DIRECTORY)
    args: dict[str, Any] = {**_args(layer, host), "newest": newest}
    job, args = ("layer.diff", args) if after is None else (after[0], {**after[1], "pack": args})
    try:
        with Drain(out) as drain:
            result = worker.run(job, args, [upper, drain.write_end])
    finally:
        os.close(upper)
    return int(result["size"])


def changes(worker: Worker, layer: LayerDirs, *, host: Host) -> list[tuple[int, str]]:
    """What the layer changes: (0 modified, 1 added, 2 deleted; "/path"), as Docker lists it."""
    upper = os.open(layer.upper, paths.DIRECTORY)
    collected = _Collected()
    try:
        with Drain(collected) as drain:
            worker.run("layer.changes", _args(layer, host), [upper, drain.write_end])
    finally:
        os.close(upper)
    return [(int(kind), str(path)) for kind, path in json.loads(bytes(collected.data))]


def _args(layer: LayerDirs, host: Host) -> dict[str, object]:
    return {"lowers": list(layer.lowers), "xattr_prefix": host.xattr_prefix}


class _Collected:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, /) -> None:
        self.data += data


class Drain:
    """A pipe whose content a thread writes to `out`: give `write_end` to a worker within the `with`.

    At its end everything has been written; an error of `out` is raised there, and closes the pipe to the worker.
    """

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="layer-drain", daemon=True)

    def __enter__(self) -> "Drain":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.write_end)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while data := os.read(self._read_end, CHUNK):
                self._out.write(data)
        except Exception as error:  # handed to the thread that waits
            self._failure = error
        finally:
            os.close(self._read_end)
