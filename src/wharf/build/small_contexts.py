"""Contexts that came as a small archive: the same bytes again are not unpacked again.

    <data root>/build/unpacked/<random>/   the files of one archive; emptied at start

An archive is known by the digest of all its bytes, so that what it holds never changes: what builds take of it is
remembered too, and builds may share it. Those that stay are the last ones, and go with `builder prune -a`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wharf.build.tree import Tree
from wharf.spec.digest import Digest
from wharf.storage.compression import Readable
from wharf.storage.layers.unpack import unpack_files

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

MAX_ARCHIVE = 8 << 20
"""Bytes of an archive that is held in memory for its digest; a larger one is unpacked while it comes."""
MAX_UNPACKED = 32 << 20
"""Bytes of an archive without its compression that stays."""
MAX_KEPT = 8
CONTEXT_MODE = 0o755
"""Of a context's top directory, which `COPY . /new` hands on; what is above it lets nobody in."""
CHUNK = 256 << 10
"""Bytes that are read, and hashed, at once: the digest is there when the last of them is."""


@dataclass(slots=True, eq=False)
class _Kept:
    """One archive's files; `users` are the builds that read them now."""

    directory: str
    selected: dict[str, Digest] = field(default_factory=dict)
    builds: list[Any] = field(default_factory=list)
    users: int = 0


class SmallContexts:
    """See the module; safe for use from many threads."""

    def __init__(self, engine: Engine, root: str) -> None:
        self._engine = engine
        self._root = root
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}

    @contextlib.contextmanager
    def unpacked(self, archive: Readable) -> Iterator[Tree]:
        """An archive's files. Raises Invalid for a bad archive."""
        parts, key = _beginning(archive)
        if key is None:
            with self._alone(_Joined(b"".join(parts), archive)) as directory:
                yield Tree(directory=directory)
            return
        kept = self._take(key)
        if kept is None:
            directory, size = self._unpack(io.BytesIO(b"".join(parts)))
            kept = self._add(key, directory, keep=size <= MAX_UNPACKED)
        try:
            yield Tree(directory=kept.directory, selected=kept.selected, builds=kept.builds)
        finally:
            self._release(kept)

    @contextlib.contextmanager
    def _alone(self, archive: Readable) -> Iterator[str]:
        directory, _ = self._unpack(archive)
        try:
            yield directory
        finally:
            self._engine.trash.discard(directory)

    def _unpack(self, archive: Readable) -> tuple[str, int]:
        directory = os.path.join(self._root, secrets.token_hex(8))
        os.mkdir(directory, CONTEXT_MODE)
        try:
            return directory, unpack_files(self._engine.worker, archive, directory)
        except BaseException:
            self._engine.trash.discard(directory)
            raise

    def _take(self, key: str) -> _Kept | None:
        with self._lock:
            kept = self._kept.pop(key, None)
            if kept is not None:
                self._kept[key] = kept  # the last one used
                kept.users += 1
            return kept

    def _add(self, key: str, directory: str, *, keep: bool) -> _Kept:
        """For one user; another build may have unpacked the same archive meanwhile, and then this one is alone."""
        kept = _Kept(directory, users=1)
        with self._lock:
            if keep and key not in self._kept:
                self._kept[key] = kept
                self._drop_oldest()
        return kept

    def _release(self, kept: _Kept) -> None:
        with self._lock:
            kept.users -= 1
            if not kept.users and kept not in self._kept.values():
                self._engine.trash.discard(kept.directory)

    def _drop_oldest(self) -> None:
        """Those that are read now go when their last build ends."""
        for key in list(self._kept)[:-MAX_KEPT]:
            self._drop(key)

    def _drop(self, key: str) -> None:
        kept = self._kept.pop(key)
        if not kept.users:
            self._engine.trash.discard(kept.directory)

    def drop_all(self) -> None:
        """Forget every archive."""
        with self._lock:
            for key in list(self._kept):
                self._drop(key)


class _Joined:
    """What was read already, then the rest."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int, /) -> bytes:
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._rest.read(size)


def _beginning(archive: Readable) -> tuple[list[bytes], str | None]:
    """The first bytes, and their digest when they are all; it is made while they come."""
    parts: list[bytes] = []
    size = 0
    digest = hashlib.sha256()
    while size <= MAX_ARCHIVE:
        data = archive.read(CHUNK)
        if not data:
            return parts, digest.hexdigest()
        parts.append(data)
        digest.update(data)
        size += len(data)
    return parts, None
