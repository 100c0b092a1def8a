"""The jobs of a build's file steps: `job(args, fds) -> result`. Standard library only: workers run them.

A tree is told as `directory` (one directory on the host, not followed out of) or as `lowers` (top first, an overlay
that is mounted read-only upon the empty directory `place`); neither means an empty tree.
"""

import importlib
import os
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

from wharf.errors import Invalid
from wharf.kernel import mounts, paths
from wharf.storage.archives.root import mount_root
from wharf.storage.files.copy import Rules, copy_source, link_followed, make_owned
from wharf.storage.files.digest import digest_sources
from wharf.storage.files.owner import find_owner
from wharf.storage.files.select import Excluded, select
from wharf.storage.layers.apply import ApplyOptions, apply_layer
from wharf.storage.layers.jobs import diff_job
from wharf.storage.limits import Limits

Job = Callable[[dict[str, Any], list[int]], dict[str, Any]]
_MAGIC = ((b"\x1f\x8b", "gzip"), (b"BZh", "bz2"), (b"\xfd7zXZ\0", "lzma"), (b"\x28\xb5\x2f\xfd", "zstandard"))


def digest_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """`digest` of what the words `sources` select in `tree`."""
    return {"digest": digest_selected(_tree(args["tree"]), args)}


def digest_selected(tree: int, args: dict[str, Any], known: Mapping[str, bytes] | None = None) -> str:
    """The digest itself; for a plain directory it needs no process of its own. `known` are digests of files by their
    names in the tree, which are then not read. Raises NotFound, Invalid."""
    excluded = Excluded(args["excludes"], args["ignore"])
    found = [item for word in args["sources"] for item in select(tree, word, parents=args["parents"])]
    kept = [item for item in found if _wanted(tree, item.path, excluded)]
    if found and not kept and not any(char in word for word in args["sources"] for char in "*?["):
        raise Invalid(f'"{found[0].path}": not found: it is excluded by .dockerignore')
    return digest_sources(tree, kept, excluded, owners=args["owners"], known=known or {})


def apply_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Do the `actions` in the writable root `mount`, with what they copy from `trees`. `like`: a tree that directories
    on the way are made as; `libraries`: where modules beside the standard library are found. With `pack` (the arguments
    of `layer.diff`) and its descriptors, the layer is written as well."""
    trees = [_tree(item) for item in args["trees"]]
    like = _tree(args["like"]) if args.get("like") else -1
    root = mount_root(args["mount"])
    for action in args["actions"]:
        _ACTIONS[action["kind"]](root, trees, {**action, "like": like, "libraries": args.get("libraries", "")})
    return diff_job(args["pack"], fds) if args.get("pack") else {}


def stubs_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Take away from the writable root `mount` the empty places that were made for the mounts of a step, and that
    `tree`, which it stands on, has not; `pack` as of `apply_job`."""
    tree = _tree(args["tree"])
    root = mount_root(args["mount"])
    for path in args["targets"]:
        _remove_stub(root, tree, path)
    return diff_job(args["pack"], fds)


def _remove_stub(root: int, tree: int, path: str) -> None:
    """The place itself, and the directories above it as far as they are empty and new."""
    while path not in ("", "/"):
        above, name = os.path.split(path)
        try:
            os.close(paths.open_in_root(tree, path))
            return  # it was there before
        except OSError:
            pass
        try:
            directory = paths.open_in_root(root, above or "/", paths.DIRECTORY)
        except OSError:
            return
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(name, dir_fd=directory)
            elif stat.S_ISREG(found.st_mode) and not found.st_size:
                os.unlink(name, dir_fd=directory)
            else:
                return
        except OSError:
            return
        finally:
            os.close(directory)
        path = above


def context_job(args: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Unpack the plain archive fds[0] of a client into the directory fds[1]. Result: `size` (bytes), `entries`."""
    options = ApplyOptions(whiteouts=False, mknod=False, limits=Limits(**args["limits"]))
    applied = apply_layer(fds[0], fds[1], options)
    return {"size": applied.size, "entries": applied.entries}


def _tree(item: dict[str, Any]) -> int:
    lowers = item.get("lowers") or []
    directory = item.get("directory") or (lowers[0] if len(lowers) == 1 else "")
    if directory:
        return os.open(directory, paths.DIRECTORY)
    if lowers:
        try:
            mounts.overlay(lowers, "", "", item["place"], tuple(item.get("options", ())), append=True)
        except OSError:
            mounts.overlay(lowers, "", "", item["place"], tuple(item.get("options", ())), append=False)
    return os.open(item["place"], paths.DIRECTORY)


def _wanted(tree: int, path: str, excluded: Excluded) -> bool:
    """A directory that is left out may hold something that is not."""
    return not excluded.leaves_out("", path.strip("/")) or _is_directory(tree, path)


def _is_directory(tree: int, path: str) -> bool:
    fd = paths.open_in_root(tree, path, os.O_PATH)
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def _rules(root: int, action: dict[str, Any], *, zero: bool) -> Rules:
    owner = find_owner(root, action["chown"]) if action["chown"] else ((0, 0) if zero else None)
    excluded = Excluded(list(action.get("excludes", ())), list(action.get("ignore", ())))
    return Rules(owner, action.get("chmod", ""), excluded, action["like"], action.get("alike", False))


def _mkdir(root: int, trees: list[int], action: dict[str, Any]) -> None:
    owner = find_owner(root, action["user"]) if action["user"] else (0, 0)
    make_owned(root, action["path"], Rules(owner), action["mode"])


def _mkfile(root: int, trees: list[int], action: dict[str, Any]) -> None:
    rules = _rules(root, action, zero=True)
    path = link_followed(root, action["path"])
    make_owned(root, os.path.dirname(path) or "/", rules)
    into = paths.open_in_root(root, os.path.dirname(path) or "/", paths.DIRECTORY)
    name = os.path.basename(path)
    try:
        try:
            os.unlink(name, dir_fd=into)
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(name, flags, 0o600, dir_fd=into), "wb") as file:
            file.write(action["text"].encode("utf-8", "surrogateescape"))
            os.fchown(file.fileno(), *(rules.owner or (0, 0)))
            os.fchmod(file.fileno(), action["mode"])
    finally:
        os.close(into)


def _copy(root: int, trees: list[int], action: dict[str, Any]) -> None:
    tree = trees[action["tree"]]
    rules = _rules(root, action, zero=action["zero_owner"])
    for word in action["sources"]:
        for source in select(tree, word, parents=action["parents"]):
            if not _wanted(tree, source.path, rules.excluded):
                continue
            if action["unpack"] and _unpack(tree, source.path, root, action, rules):
                continue
            copy_source(tree, source, root, action["target"], rules)


def _unpack(tree: int, path: str, root: int, action: dict[str, Any], rules: Rules) -> bool:
    """Extract an archive of any of the known compressions; False for what is none."""
    fd = paths.open_in_root(tree, path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return False
    with open(fd, "rb") as file:
        head = file.read(6)
        file.seek(0)
        plain = _plain(file, head, action["libraries"])
        try:
            first = plain.read(512)
        except Exception:  # each decompressor has an error of its own
            return False
        if not _is_header(first):
            return False
        file.seek(0)
        plain = _plain(file, head, action["libraries"])
        target = action["target"].rstrip("/") or "/"
        make_owned(root, target, Rules(rules.owner, like=rules.like))
        into = paths.open_in_root(root, target, paths.DIRECTORY)
        try:
            _feed(plain, into, rules)
        finally:
            os.close(into)
    return True


def _plain(file: BinaryIO, head: bytes, libraries: str) -> BinaryIO:
    """The file without its compression; the modules are loaded only where they are needed, the one that is not of the
    standard library from the directory `libraries`."""
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if not kind:
        return file
    if kind == "zstandard" and libraries not in sys.path:
        sys.path.append(libraries)
    module = importlib.import_module(kind)
    if kind == "zstandard":
        return cast("BinaryIO", module.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False))
    return cast("BinaryIO", module.open(file))


def _is_header(block: bytes) -> bool:
    """Whether 512 bytes are the header of an archive: its own sum says so (ustar, tar(5))."""
    field = block[148:156].rstrip(b"\0 ").lstrip()
    if len(block) != 512 or not field or not all(char in b"01234567" for char in field):
        return False
    return sum(block) - sum(block[148:156]) + 8 * 32 == int(field, 8)


def _feed(plain: BinaryIO, into: int, rules: Rules) -> None:
    """The archive goes through a pipe to the same code that applies layers."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _pour_and_exit(plain, read_end, write_end)
    os.close(write_end)
    try:
        apply_layer(read_end, into, ApplyOptions(whiteouts=False, owner=rules.owner if rules.owner != (0, 0) else None))
    finally:
        os.close(read_end)
        _, status = os.waitpid(child, 0)
    if status:
        raise Invalid("the archive is damaged")


def _pour_and_exit(plain: BinaryIO, read_end: int, write_end: int) -> None:
    code = 1
    try:
        os.close(read_end)
        while data := plain.read(1 << 20):
            view = memoryview(data)
            while view:
                view = view[os.write(write_end, view) :]
        code = 0
    except BrokenPipeError:
        code = 0  # what follows the end of the archive is not wanted
    finally:
        os._exit(code)


_ACTIONS: dict[str, Callable[[int, list[int], dict[str, Any]], None]] = {
    "Mkdir": _mkdir,
    "Mkfile": _mkfile,
    "CopyFiles": _copy,
}
JOBS: dict[str, Job] = {
    "files.digest": digest_job,
    "files.apply": apply_job,
    "files.context": context_job,
    "files.stubs": stubs_job,
}
MOUNTING = frozenset({"files.digest", "files.apply", "files.stubs"})
"""Those that mount: in a namespace of their own."""
