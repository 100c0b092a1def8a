"""Walking a directory tree by descriptors, in an order that depends on names only."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from wharf.kernel import paths, xattr
from wharf.storage.layers.header import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    REGULAR,
    SYMLINK,
    Entry,
)

_KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: BLOCK_DEVICE,
    stat.S_IFIFO: FIFO,
}
_KEPT = "security.capability"


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in a tree: `name` in the open directory `directory`, at `path` from the top, and its lstat."""

    directory: int
    name: bytes
    path: bytes
    found: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.found.st_mode)


def walk(top: int, prefix: bytes = b"") -> Iterator[Node]:
    """Everything beneath the open directory `top`, depth first, names sorted as bytes, a directory before its content.

    `prefix` stands before every path. A node's descriptor is good until the next step. Nothing is followed. What
    vanishes meanwhile is left out. One descriptor a level is open, so depth is bounded by the limit of descriptors.
    """
    stack = [(os.dup(top), prefix, _sorted(top))]
    try:
        while stack:
            directory, path, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(stack.pop()[0])
                continue
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                continue
            node = Node(directory, name, path + b"/" + name if path else name, found)
            yield node
            if stat.S_ISDIR(found.st_mode):
                _descend(stack, node)
    finally:
        for directory, _, _ in stack:
            os.close(directory)


def _descend(stack: list[tuple[int, bytes, Iterator[bytes]]], node: Node) -> None:
    try:
        fd = os.open(node.name, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=node.directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    stack.append((fd, node.path, _sorted(fd)))


def _sorted(fd: int) -> Iterator[bytes]:
    return iter(sorted(os.fsencode(name) for name in os.listdir(fd)))


def entry_of(node: Node, name: bytes | None = None) -> Entry | None:
    """The archive entry of a node (named `name`, or by its path); None for what an archive cannot hold: sockets."""
    found = node.found
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    entry = Entry(
        node.path if name is None else name,
        kind,
        stat.S_IMODE(found.st_mode),
        found.st_uid,
        found.st_gid,
        found.st_size if kind == REGULAR else 0,
        found.st_mtime_ns,
    )
    if kind == DIRECTORY:
        entry.name += b"/"
    elif kind == SYMLINK:
        entry.link = os.readlink(node.name, dir_fd=node.directory)
    elif kind in (CHAR, BLOCK_DEVICE):
        entry.device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    elif kind == REGULAR and found.st_mode & 0o111:  # capabilities mean something on programs only
        value = xattr.get(node.directory, node.name, _KEPT)
        if value is not None:
            entry.xattrs[_KEPT] = value
    return entry


def attributes_of(node: Node) -> dict[str, bytes]:
    """All extended attributes of a node."""
    found = ((name, xattr.get(node.directory, node.name, name)) for name in xattr.names(node.directory, node.name))
    return {name: value for name, value in found if value is not None}
