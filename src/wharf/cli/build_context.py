"""What `wharf build` sends: a directory as an archive without what .dockerignore leaves out, an archive, or nothing."""

from __future__ import annotations

import os
import sys

from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    from wharf.cli.session import Session

    Ask = Callable[[str, list[str]], tuple[str, set[str]] | None]

CHUNK = 1 << 18
_ARCHIVES = (b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
_OTHER_FILE = ".dockerfile."


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        raise ExitWith(f"failed to read dockerfile: open {path}: {str(error.strerror).lower()}") from None


def context(flags: dict[str, Any], path: str, ask: Ask | None = None) -> tuple[str, str, Iterable[bytes]]:
    """The Dockerfile's name in the archive, the engine's id of a context that it has in part, and the archive.

    `ask` tells the engine what a directory holds (its names): the id, and what of it is to be sent; None: everything.
    """
    if path == "-":
        name, chunks = _from_stdin(flags, sys.stdin.buffer)
        return name, "", chunks
    if not os.path.isdir(path):
        raise ExitWith(f"unable to prepare context: path {path!r} not found")
    file = flags.get("file") or os.path.join(path, "Dockerfile")
    extra = None
    if file == "-":
        extra = sys.stdin.buffer.read()
    else:
        inside = os.path.relpath(os.path.realpath(file), os.path.realpath(path))
        if not inside.startswith("../"):
            if not os.path.exists(file) and not flags.get("file"):
                inside = "dockerfile" if os.path.exists(os.path.join(path, "dockerfile")) else inside
            _show_error_here(os.path.join(path, inside))
            names = _names(path, inside)
            answer = ask(path, names) if ask is not None else None
            if answer is None:
                return inside, "", _tar([(name, os.path.join(path, name), b"") for name in names])
            return inside, answer[0], _tar(_changed(path, names, answer[1]))
        extra = _read_bytes_of(file)
    name = _OTHER_FILE + os.urandom(8).hex()
    found: list[tuple[str, str | None, bytes]] = [(item, os.path.join(path, item), b"") for item in _names(path, name)]
    return name, "", _tar([*found, (name, None, extra)])


def named(session: Session, given: list[str]) -> dict[str, str]:
    """`name=where` for the engine: directories are sent to it now, as far as it has not got their files."""
    from wharf.cli.build_layout import PREFIX, image_of

    found: dict[str, str] = {}
    for text in given:
        name, equals, where = text.partition("=")
        if not equals or not name or not where:
            raise ExitWith(f"invalid context value: {text}, expected key=value")
        if where.startswith(PREFIX):
            path, digest, names = image_of(where)
            found[name] = f"{PREFIX}{_sent(session, path, names, name)}@{digest}"
            continue
        if "://" in where or where.startswith("git@"):
            found[name] = where
            continue
        if not os.path.isdir(where):
            raise ExitWith(f"failed to get build context {name}: {where}: not a directory")
        names = [item for item in _names(where, "") if _is_plain(os.path.join(where, item))]
        found[name] = f"sent:{_sent(session, where, names, name)}"
    return found


def _sent(session: Session, root: str, names: list[str], name: str) -> str:
    """The id by which the engine has these files of a directory now."""
    from wharf.cli.build_delta import offered

    number, missing = offered(session, root, names, name)
    chunks = _tar(_changed(root, names, missing))
    session.client().upload("POST", f"/wharf/v1/build/context/files?id={number}", chunks).read_all()
    return number


def _is_plain(path: str) -> bool:
    import stat

    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def _changed(root: str, names: list[str], wanted: set[str]) -> list[tuple[str, str | None, bytes]]:
    """Directories and links, which cost nothing, and the files that are wanted."""
    import stat

    found: list[tuple[str, str | None, bytes]] = []
    for name in names:
        path = os.path.join(root, name)
        if name in wanted or not stat.S_ISREG(os.lstat(path).st_mode):
            found.append((name, path, b""))
    return found


def _read_bytes_of(path: str) -> bytes:
    return read_text(path).encode("utf-8", "surrogateescape")


def _show_error_here(path: str) -> None:
    """A Dockerfile that cannot be read is refused before anything is sent, with its lines."""
    from wharf.dockerfile.parse import parse_dockerfile
    from wharf.dockerfile.position import DockerfileError, excerpt

    text = read_text(path)
    try:
        if text:
            parse_dockerfile(text)
    except DockerfileError as error:
        shown = f"\n{os.path.basename(path)}:{error.lines.first}\n{excerpt(text, error.lines)}" if error.lines else ""
        raise ExitWith(error.message + shown) from None


def _from_stdin(flags: dict[str, Any], file: BinaryIO) -> tuple[str, Iterable[bytes]]:
    """An archive is the context; anything else is a Dockerfile without one."""
    head = file.read(512)
    is_archive = head.startswith(_ARCHIVES) or (len(head) == 512 and head[257:262] == b"ustar")
    if is_archive:
        return flags.get("file") or "Dockerfile", _rest(head, file)
    return "Dockerfile", _tar([("Dockerfile", None, head + file.read())])


def _rest(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield head
    while data := file.read(CHUNK):
        yield data


def _names(root: str, dockerfile: str) -> list[str]:
    """What is sent of a directory."""
    from wharf.dockerfile.ignore import IgnoreRules, read_ignore

    patterns: tuple[str, ...] = ()
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        place = os.path.join(root, name)
        if os.path.isfile(place):
            patterns = read_ignore(read_text(place))
            break
    rules = IgnoreRules(patterns)
    always = {dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"}
    return list(_walk(root, rules, always))


def _walk(root: str, rules: Any, always: set[str]) -> Iterator[str]:
    """Names of what is sent, a directory before what is in it; one that is left out comes with what is not."""
    stack = [""]
    left_out: set[str] = set()
    while stack:
        directory = stack.pop()
        with os.scandir(os.path.join(root, directory)) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
        for entry in listed:
            name = f"{directory}/{entry.name}".lstrip("/")
            out = name not in always and rules.ignored(name)
            inner = not out or not rules.prunes(name) or any(kept.startswith(name + "/") for kept in always)
            if inner and entry.is_dir(follow_symlinks=False):
                stack.append(name)
                if out:
                    left_out.add(name)
            if not out:
                yield from _above(name, left_out)
                yield name


def _above(name: str, left_out: set[str]) -> Iterator[str]:
    """The directories above a name that were left out until now, the top one first."""
    parts = name.split("/")
    for depth in range(1, len(parts)):
        directory = "/".join(parts[:depth])
        if directory in left_out:
            left_out.discard(directory)
            yield directory


def _tar(items: Iterable[tuple[str, str | None, bytes]]) -> Iterator[bytes]:
    """An archive, a piece at a time: owners are nobody's, since they mean nothing elsewhere."""
    import io
    import tarfile

    archive = tarfile.open(fileobj=io.BytesIO(), mode="w")  # noqa: SIM115 (asked for headers only)
    for name, path, data in items:
        if path is None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
        else:
            member = archive.gettarinfo(path, name)
            if member is None:
                continue  # a socket
            member.uid = member.gid = 0
            member.uname = member.gname = ""
        yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if path is None:
            yield data
        elif member.isreg() and member.size:
            yield from _file(path, member.size)
        if member.isreg():
            yield bytes(-member.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file(path: str, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, whatever happens to the file meanwhile."""
    with open(path, "rb") as file:
        while size:
            data = file.read(min(CHUNK, size)) or bytes(min(CHUNK, size))
            size -= len(data)
            yield data


def pack_plain(root: str) -> Iterator[bytes]:
    """A directory as it is, as an archive."""
    from wharf.dockerfile.ignore import IgnoreRules

    names = _walk(root, IgnoreRules(()), set())
    return _tar([(name, os.path.join(root, name), b"") for name in names])
