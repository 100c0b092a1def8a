"""The content of what a step copies, as one digest: names, kinds, modes, owners, links, bytes; not times.

Standard library only: workers use it.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping

from wharf.kernel import paths, xattr
from wharf.storage.files.copy import CHUNK
from wharf.storage.files.select import Excluded, Source

_CAPABILITY = "security.capability"


def digest_sources(
    tree: int, sources: list[Source], excluded: Excluded, *, owners: bool, known: Mapping[str, bytes]
) -> str:
    """Hexadecimal SHA-256 of all that the sources select; `owners` where they count. `known` are digests of files by
    their names in the tree."""
    whole = hashlib.sha256()
    for source in sources:
        for line in _lines(tree, source, excluded, owners, known):
            whole.update(len(line).to_bytes(4, "big"))
            whole.update(line)
    return whole.hexdigest()


def _lines(tree: int, source: Source, excluded: Excluded, owners: bool, known: Mapping[str, bytes]) -> Iterator[bytes]:
    fd = paths.open_in_root(tree, source.path, os.O_PATH)
    try:
        found = os.fstat(fd)
        if not stat.S_ISDIR(found.st_mode):
            name = source.below or os.path.basename(source.path.rstrip("/"))
            yield _line(os.fsencode(name), found, owners, *_named(tree, source.path, found, known))
            return
        yield _line(os.fsencode(source.below or "."), found, owners, b"", b"")
        top = os.open(f"/proc/self/fd/{fd}", paths.DIRECTORY)
    finally:
        os.close(fd)
    try:
        yield from _tree(top, source, excluded, owners, known)
    finally:
        os.close(top)


def _tree(top: int, source: Source, excluded: Excluded, owners: bool, known: Mapping[str, bytes]) -> Iterator[bytes]:
    """In the order of names; a directory that is left out appears where something in it is not."""
    base = source.path.strip("/")
    stack = [(os.dup(top), "", _names(top))]
    try:
        while stack:
            directory, path, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(stack.pop()[0])
                continue
            relative = f"{path}/{name}".lstrip("/")
            whole = f"{base}/{relative}".lstrip("/")
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            out = excluded.leaves_out(relative, whole)
            if stat.S_ISDIR(found.st_mode):
                if out and excluded.prunes(relative, whole):
                    continue
                yield _line(os.fsencode(relative), found, owners, b"", b"")
                below = os.open(name, paths.DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                stack.append((below, relative, _names(below)))
            elif not out:
                yield _line(os.fsencode(relative), found, owners, *_node(directory, name, found, known.get(whole)))
    finally:
        for directory, _, _ in stack:
            os.close(directory)


def _names(fd: int) -> Iterator[str]:
    return iter(sorted(os.listdir(fd), key=os.fsencode))


def _line(name: bytes, found: os.stat_result, owners: bool, content: bytes, capability: bytes) -> bytes:
    owner = f"{found.st_uid}:{found.st_gid}" if owners else ""
    device = found.st_rdev if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode) else 0
    head = f"{found.st_mode:o} {owner} {device}".encode()
    return b"\0".join((name, head, content, capability))


def _named(tree: int, path: str, found: os.stat_result, known: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    if not stat.S_ISREG(found.st_mode):
        return b"", b""
    fd = paths.open_in_root(tree, path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mine = known.get(path.strip("/"))  # the names of files themselves: a path through a link is none
        if mine is not None:
            return mine, b""
        return _content(fd), xattr.get_fd(fd, _CAPABILITY) or b""
    finally:
        os.close(fd)


def _node(directory: int, name: str, found: os.stat_result, known: bytes | None) -> tuple[bytes, bytes]:
    if stat.S_ISLNK(found.st_mode):
        return os.fsencode(os.readlink(name, dir_fd=directory)), b""
    if not stat.S_ISREG(found.st_mode):
        return b"", b""
    if known is not None:
        return known, b""  # a client's file: it came as an archive's, without attributes
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        return _content(fd), xattr.get_fd(fd, _CAPABILITY) or b""
    finally:
        os.close(fd)


def _content(fd: int) -> bytes:
    content = hashlib.sha256()
    while data := os.read(fd, CHUNK):
        content.update(data)
    return content.digest()
