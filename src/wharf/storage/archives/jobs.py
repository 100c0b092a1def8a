"""The jobs behind `docker cp`, `docker export` and the first fill of a volume. Standard library only.

All take `mounts` (plain dictionaries of wharf.spec.mount.Mount, the root's first) and, for a container that runs,
`running`: true with its mount namespace in fds[0]; `path` is the client's, `container` the name it used.
Docker's rules: daemon/archive_unix.go and pkg/archive of moby 28.5.2.
"""

import os
import stat
import time
from collections.abc import Callable
from typing import Any

from wharf.errors import Internal, Invalid, NotFound
from wharf.kernel import paths
from wharf.storage.archives.owner import container_owner
from wharf.storage.archives.root import follow, open_root, opened
from wharf.storage.layers.apply import ApplyOptions, apply_layer
from wharf.storage.layers.diff import Packer
from wharf.storage.layers.tree import Node, walk
from wharf.storage.layers.writer import ArchiveWriter

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]

_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def stat_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """What the path is, a symbolic link itself with what it leads to; `mode` as Go's FileMode. Raises NotFound."""
    root = open_root(args, fds)
    path = absolute(args["path"])
    node = _lstat(root, path, args)
    try:
        found = node.found
        link = follow(root, path) if stat.S_ISLNK(found.st_mode) else b""
        return {
            "name": os.fsdecode(base_name(path)),
            "size": found.st_size,
            "mode": go_mode(found.st_mode),
            "mtime": _rfc3339(found.st_mtime_ns),
            "linkTarget": os.fsdecode(link),
        }
    finally:
        os.close(node.directory)


def get_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Write the archive of the path to fds[-1]; a reader that goes away is no error. Result: `size` (bytes).

    A directory's entries stand under its name, under `./` for `path/.`; any other thing is the one entry.
    """
    root = open_root(args, fds)
    path = absolute(args["path"])
    node = _lstat(root, path, args)
    writer = ArchiveWriter(fds[-1])
    base = base_name(path)
    try:
        if node.is_directory:
            with opened(root, path, paths.DIRECTORY) as top:
                _write_tree(writer, top, b"" if base == b"/" else base)
        else:
            Packer(writer).add(node, base)
            writer.end()
    except BrokenPipeError:
        pass
    finally:
        os.close(node.directory)
    return {"size": writer.size}


def _write_tree(writer: ArchiveWriter, top: int, name: bytes, exact: bool = False) -> None:
    packer = Packer(writer, exact)
    packer.add(Node(top, b".", name, os.fstat(top)), name)
    for node in walk(top):
        packer.add(node, name + b"/" + node.path)
    writer.end()


def export_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Write the whole root file system to fds[-1], names without a leading slash. Result: `size` (bytes)."""
    root = open_root(args, fds)
    writer = ArchiveWriter(fds[-1])
    packer = Packer(writer)
    try:
        for node in walk(root):
            packer.add(node)
        writer.end()
    except BrokenPipeError:
        pass
    return {"size": writer.size}


def put_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Unpack the plain archive in fds[-1] into the directory `path`.

    Raises NotFound, Invalid for what is no directory or read-only (`read_only`: pairs of a path and Docker's words).
    """
    root = open_root(args, fds)
    path = absolute(args["path"])
    try:
        target = paths.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _not_found(error, args) from None
    if not stat.S_ISDIR(os.fstat(target).st_mode):
        raise Invalid("extraction point is not a directory")
    place = follow(root, path)
    _refuse_read_only(place, args.get("read_only", ()))
    options = ApplyOptions(
        whiteouts=False,
        absolute=True,
        follow=(root, place),
        keep_types=args.get("no_overwrite_dir_non_dir", False),
        beside=True,
        owner=container_owner(root, args["user"]) if args.get("copy_uid_gid") and args.get("user") else None,
    )
    applied = apply_layer(fds[-1], target, options)
    return {"size": applied.size, "entries": applied.entries}


def copy_up_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Fill the empty host directory `target` with the image's directory `path`, its own mode and owner included.

    Result: `copied`, false when the target has something in it or the image no such directory.
    """
    target = os.open(args["target"], paths.DIRECTORY)
    if os.listdir(target):
        return {"copied": False}
    root = open_root(args, fds)
    try:
        source = paths.open_in_root(root, absolute(args["path"]), paths.DIRECTORY)
    except OSError:
        return {"copied": False}
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _pack_and_exit(source, write_end)
    os.close(write_end)
    apply_layer(read_end, target, ApplyOptions(whiteouts=False))
    _, status = os.waitpid(child, 0)
    if status:
        raise Internal(f"copying {args['path']} of the image into its volume failed")
    return {"copied": True}


def _pack_and_exit(source: int, write_end: int) -> None:
    """In a child: the archive is written while its parent unpacks it."""
    code = 1
    try:
        _write_tree(ArchiveWriter(write_end), source, b".", exact=True)
        code = 0
    finally:
        os._exit(code)


def absolute(path: str) -> bytes:
    """The client's path from the root, cleaned as Go does, but a trailing `/` or `/.` is kept: it follows a link."""
    raw = os.fsencode(path)
    clean = os.path.normpath(b"/" + raw).replace(b"//", b"/")
    last = raw.rsplit(b"/", 1)[-1]
    if clean == b"/":
        return b"/." if last == b"." else clean
    if last == b".":
        return clean + b"/."
    return clean + b"/" if not last else clean


def base_name(path: bytes) -> bytes:
    """The last component as Go's filepath.Base has it: `.` for `a/.`, `/` for the root."""
    return path.rstrip(b"/").rsplit(b"/", 1)[-1] or b"/"


def _lstat(root: int, path: bytes, args: dict[str, Any]) -> Node:
    """The node of a path; the caller closes its descriptor, which is that of the directory it is in."""
    parent, base = path, b"."
    if not path.endswith((b"/", b"/.")):
        parent, _, base = path.rpartition(b"/")
    try:
        directory = paths.open_in_root(root, parent or b"/", paths.DIRECTORY)
    except OSError as error:
        raise _not_found(error, args) from None
    try:
        return Node(directory, base, base, os.stat(base, dir_fd=directory, follow_symlinks=False))
    except OSError as error:
        os.close(directory)
        raise _not_found(error, args) from None


def _not_found(error: OSError, args: dict[str, Any]) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NotFound(f"Could not find the file {args['path']} in container {args['container']}")
    return Internal(f"lstat {args['path']}: {os.strerror(error.errno or 0).lower()}")


def _refuse_read_only(place: bytes, places: list[list[str]]) -> None:
    """The longest mount that leads to `place` decides."""
    longest, words = -1, ""
    for path, said in places:
        raw = os.fsencode(path).rstrip(b"/")
        if (place == raw or place.startswith(raw + b"/")) and len(raw) > longest:
            longest, words = len(raw), said
    if words:
        raise Invalid(words)


def go_mode(mode: int) -> int:
    """A st_mode as Go's os.FileMode."""
    value = stat.S_IMODE(mode) & 0o777 | _GO_KINDS.get(stat.S_IFMT(mode), 0)
    for bit, go_bit in _GO_BITS:
        if mode & bit:
            value |= go_bit
    return value


def _rfc3339(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


JOBS: dict[str, Job] = {
    "archive.stat": stat_job,
    "archive.get": get_job,
    "archive.put": put_job,
    "archive.export": export_job,
    "archive.copyup": copy_up_job,
}
