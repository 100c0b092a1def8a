"""A layer's own files as an archive (OCI image specification, layer.md), and as Docker's list of changes.

The directory is overlayfs's upper: a character device 0:0 says that a name is deleted, an opaque directory that it
hides the one below. Equal trees give equal bytes. A standard-library-only part of the worker.
"""

import os
import stat

from wharf.kernel import paths
from wharf.storage.layers.header import DIRECTORY, HARDLINK, REGULAR, Entry
from wharf.storage.layers.lookup import Stack, is_opaque, is_whiteout
from wharf.storage.layers.names import OPAQUE, WHITEOUT
from wharf.storage.layers.tree import Node, attributes_of, entry_of, walk
from wharf.storage.layers.writer import ArchiveWriter

MODIFIED, ADDED, DELETED = 0, 1, 2
"""Kinds of change as the Engine API numbers them."""


def write_layer(upper: int, lowers: tuple[str, ...], prefix: str, out: int, newest: int | None = None) -> int:
    """Write the layer's archive to descriptor `out`; returns its bytes. Sockets are left out.

    `newest` (seconds since 1970) is the latest time that an entry gets, so that equal builds give equal bytes.
    """
    with Stack(lowers, prefix) as below:
        writer = ArchiveWriter(out, newest)
        packer = Packer(writer)
        for node in walk(upper):
            if is_whiteout(node.found):
                if below.get(node.path) is not None:
                    writer.add(_marker(node, WHITEOUT + node.name))
                continue
            packer.add(node)
            if node.is_directory and _hides(node, below):
                writer.add(_marker_in(node))
        writer.end()
    return writer.size


class Packer:
    """Writes nodes; the second name of an inode becomes a hard link to the first.

    With `exact` every extended attribute and the nanoseconds of times go along, which Docker's archives have not.
    """

    def __init__(self, writer: ArchiveWriter, exact: bool = False) -> None:
        self._writer = writer
        self._exact = exact
        self._seen: dict[tuple[int, int], bytes] = {}

    def add(self, node: Node, name: bytes | None = None) -> None:
        """One node under `name` (its path when None). What vanishes or is a socket is left out."""
        try:
            entry = entry_of(node, name)
            if entry is None:
                return
            if self._exact:
                entry.exact = True
                entry.xattrs.update(attributes_of(node))
        except FileNotFoundError:
            return
        if node.found.st_nlink > 1 and entry.kind != DIRECTORY:
            inode = (node.found.st_dev, node.found.st_ino)
            first = self._seen.setdefault(inode, entry.name)
            if first is not entry.name:
                entry.kind, entry.link, entry.size, entry.xattrs = HARDLINK, first, 0, {}
        if entry.kind != REGULAR or not entry.size:
            self._writer.add(entry)
            return
        try:
            # O_NONBLOCK: should a fifo have taken the file's place, nobody waits for its writer.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            fd = os.open(node.name, flags, dir_fd=node.directory)
        except FileNotFoundError:
            return
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._writer.add_file(entry, fd)
        finally:
            os.close(fd)


def _marker(node: Node, name: bytes) -> Entry:
    parent = node.path[: len(node.path) - len(node.name)]
    return Entry(parent + name, REGULAR, 0o600, 0, 0, 0, node.found.st_mtime_ns)


def _marker_in(node: Node) -> Entry:
    return Entry(node.path + b"/" + OPAQUE, REGULAR, 0o600, 0, 0, 0, node.found.st_mtime_ns)


def _hides(node: Node, below: Stack) -> bool:
    """Whether an opaque directory hides one below: overlayfs also marks new directories, where there is nothing."""
    fd = os.open(node.name, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=node.directory)
    try:
        if not is_opaque(fd, below.prefix):
            return False
    finally:
        os.close(fd)
    found = below.get(node.path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def list_changes(upper: int, lowers: tuple[str, ...], prefix: str) -> list[tuple[int, str]]:
    """(kind, "/path") of everything the layer changes, in the order of the walk, as Docker lists it:

    a directory that is only there because of what is in it counts as modified when something in it was added or
    deleted, or when its own mode or time differ.
    """
    changes: list[tuple[int, str]] = []
    listed: set[bytes] = set()
    with Stack(lowers, prefix) as below:
        for node in walk(upper):
            kind = _change(node, below)
            if kind is None:
                continue
            if node.is_directory:
                listed.add(node.path)
            parent = node.path.rpartition(b"/")[0]
            if kind in (ADDED, DELETED) and parent and parent not in listed:
                listed.add(parent)
                changes.append((MODIFIED, _shown(parent)))
            changes.append((kind, _shown(node.path)))
    return changes


def _change(node: Node, below: Stack) -> int | None:
    old = below.get(node.path)
    if is_whiteout(node.found):
        return DELETED if old is not None else None
    if old is None:
        return ADDED
    if node.is_directory and stat.S_ISDIR(old.st_mode):
        if _hides(node, below):
            return DELETED  # and made anew: what Docker says of it
        new = node.found
        same_time = new.st_mtime_ns == old.st_mtime_ns or (
            # A time without a fraction may have passed through an archive of whole seconds.
            new.st_mtime_ns // 10**9 == old.st_mtime_ns // 10**9
            and (new.st_mtime_ns % 10**9 == 0 or old.st_mtime_ns % 10**9 == 0)
        )
        if new.st_mode == old.st_mode and same_time:
            return None
    return MODIFIED


def _shown(path: bytes) -> str:
    return "/" + path.decode("utf-8", "replace")
