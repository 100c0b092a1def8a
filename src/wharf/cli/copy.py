"""`wharf cp`: between a container and the local file system, or a tar stream on `-`."""

from __future__ import annotations

import os
import sys

from wharf.cli.flags import Command
from wharf.cli.session import ExitWith, Session
from wharf.client import jsontext
from wharf.client.api import query
from wharf.client.http import ApiError, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

COMMAND = Command(
    "cp",
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        wharf cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files/folders between a container and the local filesystem",
    (
        ("archive", "a", "bool", "Archive mode (copy all uid/gid information)"),
        ("follow-link", "L", "bool", "Always follow symbol link in SRC_PATH"),
        ("quiet", "q", "bool", "Suppress progress output during copy"),
    ),
    operands=(2, 2),
    example="wharf cp web:/etc/nginx/nginx.conf .",
    aliases="wharf container cp, wharf cp",
)
_DIRECTORY_BIT = 1 << 31
_SYMLINK_BIT = 1 << 27
CHUNK = 1 << 18


def cp(session: Session, args: list[str]) -> int:
    """Copies one way or the other."""
    flags, (source, target) = COMMAND.parse(args)
    source_container, source_path = _split(source)
    target_container, target_path = _split(target)
    if source_container and target_container:
        raise ExitWith("copying between containers is not supported")
    if not source_container and not target_container:
        raise ExitWith("must specify at least one container source")
    if source_container:
        return _copy_out(session, source_container, source_path, target_path, flags)
    return _copy_in(session, target_container, source_path, target_path, flags)


def _split(argument: str) -> tuple[str, str]:
    """(container, path); an argument that begins like a path is one, whatever colons follow."""
    if argument.startswith(("/", "./", "../")) or argument in (".", ".."):
        return "", argument
    container, colon, path = argument.partition(":")
    return (container, path) if colon else ("", argument)


def _ends_as_directory(path: str) -> bool:
    return path.endswith(("/", "/.")) or path in (".", "..")


def _absolute(path: str) -> str:
    """The path from the container's root, a trailing `/` or `/.` kept (it tells whose contents are meant)."""
    clean = os.path.normpath("/" + path)
    clean = "/" + clean.lstrip("/")
    if path.endswith("/.") or path == ".":
        return clean.rstrip("/") + "/."
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _stat_of(response: Response) -> dict[str, Any]:
    import binascii

    value: dict[str, Any] = jsontext.loads(binascii.a2b_base64(response.headers["x-docker-container-path-stat"]))
    return value


def _stat(session: Session, container: str, path: str) -> dict[str, Any]:
    response = session.client().request("HEAD", f"/containers/{container}/archive" + query({"path": path}))
    session.client().release(response)
    return _stat_of(response)


def _container_directory(session: Session, container: str, path: str) -> tuple[str, bool]:
    """(path with a last symlink followed, whether it is there and a directory)."""
    try:
        found = _stat(session, container, path)
    except ApiError as error:
        if error.status != 404 or "No such container" in error.message:
            raise
        return path, False
    if found["mode"] & _SYMLINK_BIT:
        link = found["linkTarget"]
        path = link if link.startswith("/") else os.path.join(os.path.dirname(path.rstrip("/")), link)
        try:
            found = _stat(session, container, path)
        except ApiError:
            return path, False
    return path, bool(found["mode"] & _DIRECTORY_BIT)


# --- out of a container


def _copy_out(session: Session, container: str, path: str, target: str, flags: dict[str, Any]) -> int:
    path = _absolute(path)
    if flags.get("follow-link"):
        path = _followed(session, container, path)
    if target == "-" and sys.stdout.isatty():
        raise ExitWith("cowardly refusing to copy to a terminal: redirect the archive to a file or a pipe")
    response = session.client().request("GET", f"/containers/{container}/archive" + query({"path": path}))
    if target == "-":
        while data := response.read(CHUNK):
            sys.stdout.buffer.write(data)
        return 0
    base = "." if path.endswith("/.") else os.path.basename(path.rstrip("/")) or "/"
    _unpack(response, base, _target_for(target, base, _stat_of(response)["mode"] & _DIRECTORY_BIT), target)
    if not flags.get("quiet") and sys.stderr.isatty():
        session.complain(f"Successfully copied to {os.path.abspath(target)}")
    return 0


def _followed(session: Session, container: str, path: str) -> str:
    """The path that a symbolic link at `path` leads to; what is not there is for the copy itself to say."""
    try:
        found = _stat(session, container, path)
    except ApiError:
        return path
    if not found["mode"] & _SYMLINK_BIT:
        return path
    link = found["linkTarget"]
    return str(link) if link.startswith("/") else os.path.join(os.path.dirname(path), link)


def _target_for(target: str, base: str, source_is_directory: int) -> str:
    """Where the archive's first entry goes; raises ExitWith with docker's words when it cannot."""
    if os.path.isdir(target):
        return target if base in (".", "/") else os.path.join(target, base)
    if os.path.exists(target):
        if source_is_directory:
            raise ExitWith("cannot copy directory")
        if _ends_as_directory(target):
            raise ExitWith("not a directory")
        return target
    if _ends_as_directory(target) and not source_is_directory:
        raise ExitWith("no such directory")
    parent = os.path.dirname(os.path.abspath(target.rstrip("/")))
    if not os.path.isdir(parent):
        raise ExitWith(f'invalid output path: directory "{parent}" does not exist')
    return target.rstrip("/")


class _Reader:
    """A response as the file that tarfile reads."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (data := self._response.read(max(size, CHUNK))):
            self._rest += data
        out, self._rest = self._rest[:size], self._rest[size:]
        return out


def _unpack(response: Response, base: str, place: str, shown: str) -> None:
    """Unpacks the archive, its first path component renamed to `place`; nothing is written outside of it."""
    import tarfile

    with tarfile.open(fileobj=_Reader(response), mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            name = member.name.strip("/")
            inner = name if base in (".", "/") else name.removeprefix(base).lstrip("/") if name != base else ""
            inner = "" if inner == "." else inner.removeprefix("./")
            if ".." in inner.split("/"):
                raise ExitWith(f"refusing to unpack {member.name!r}: it leads out of {shown}")
            _extract(archive, member, os.path.join(place, inner) if inner else place, (base, place))


def extract_beneath(archive: Any, member: Any, place: str) -> None:
    """One entry of an archive beneath a directory; raises ExitWith for one that leads out of it."""
    name = member.name.strip("/").removeprefix("./")
    if ".." in name.split("/"):
        raise ExitWith(f"refusing to unpack {member.name!r}: it leads out of {place}")
    _extract(archive, member, place if name in ("", ".") else os.path.join(place, name), ("", place))


def _inside(path: str, place: str) -> bool:
    """Whether the directory of `path` is `place` or beneath it once symbolic links are followed."""
    parent, root = os.path.realpath(os.path.dirname(path)), os.path.realpath(place)
    return path == place or parent == root or parent.startswith(root.rstrip("/") + "/")


def _extract(archive: Any, member: Any, path: str, root: tuple[str, str]) -> None:
    base, place = root
    if not _inside(path, place):
        raise ExitWith(f"refusing to unpack {member.name!r}: a symbolic link leads elsewhere")
    if member.issym():
        _replace(path)
        os.symlink(member.linkname, path)
        return
    if member.islnk():
        source = os.path.normpath(os.path.join(place, member.linkname.strip("/").removeprefix(base).lstrip("/")))
        if not _inside(source, place):
            raise ExitWith(f"refusing to unpack {member.name!r}: it links out")
        _replace(path)
        os.link(source, path, follow_symlinks=False)
        return
    if member.isdir():
        os.makedirs(path, exist_ok=True)
    elif member.isfile():
        _write_file(archive.extractfile(member), path)
    elif member.isfifo():
        os.mkfifo(path)
    else:
        archive.makedev(member, path)
    if os.geteuid() == 0:
        os.lchown(path, member.uid, member.gid)
    os.chmod(path, member.mode & 0o7777)
    os.utime(path, (member.mtime, member.mtime))


def _replace(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _write_file(source: BinaryIO, path: str) -> None:
    if os.path.islink(path):
        os.unlink(path)
    with open(path, "wb") as out:
        while data := source.read(CHUNK):
            out.write(data)


# --- into a container


def _copy_in(session: Session, container: str, source: str, target: str, flags: dict[str, Any]) -> int:
    target = _absolute(target)
    path, is_directory = _container_directory(session, container, target.rstrip("/") or "/")
    if source == "-":
        if not is_directory:
            raise ExitWith(f'destination "{container}:{target}" must be a directory')
        chunks: Iterator[bytes] = iter(lambda: sys.stdin.buffer.read(CHUNK), b"")
        directory = path
    else:
        name, directory = _entry_name(source, target, path, is_directory, flags.get("follow-link", False))
        chunks = _pack(source, name, flags.get("follow-link", False))
    parameters = {"path": directory, "noOverwriteDirNonDir": "true", "copyUIDGID": flags.get("archive")}
    response = session.client().upload("PUT", f"/containers/{container}/archive" + query(parameters), chunks)
    response.read_all()
    session.client().release(response)
    if not flags.get("quiet") and sys.stderr.isatty():
        session.complain(f"Successfully copied to {container}:{target}")
    return 0


def _entry_name(source: str, target: str, path: str, is_directory: bool, follow: bool) -> tuple[str, str]:
    """(name of the first entry, directory in the container) by docker's rules; raises ExitWith."""
    try:
        found = os.stat(source) if follow else os.lstat(source)
    except OSError as error:
        raise ExitWith(f"lstat {source}: {str(error.strerror).lower()}") from None
    import stat

    if _ends_as_directory(source) and not os.path.isdir(source):
        raise ExitWith("not a directory")
    contents = source.endswith("/.") or source in (".",)
    if is_directory:
        return ("." if contents else os.path.basename(os.path.abspath(source))), path
    if target.endswith("/") and not stat.S_ISDIR(found.st_mode):
        raise ExitWith("no such directory")
    parent, name = os.path.split(path.rstrip("/"))
    return name, parent or "/"


def _pack(source: str, name: str, follow: bool) -> Iterator[bytes]:
    """A tar of `source` under the name, in pieces: no file is held in memory whole."""
    import io
    import tarfile

    archive = tarfile.open(fileobj=io.BytesIO(), mode="w")  # noqa: SIM115 (only asked for headers: it knows hard links)
    for path, inner in _walk(os.path.realpath(source) if follow else source.rstrip("/") or "/", name):
        try:
            member = archive.gettarinfo(path, arcname=inner)
        except FileNotFoundError:
            continue  # removed while its directory was read
        if member is None:
            continue  # a socket: tar has no type for it
        yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if member.isreg():
            yield from _file_chunks(path, member.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _file_chunks(path: str, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes and their padding: a file that shrinks meanwhile is filled up with zeros."""
    left = size
    with open(path, "rb") as file:
        while left and (data := file.read(min(CHUNK, left))):
            left -= len(data)
            yield data
    while left:
        yield bytes(min(CHUNK, left))
        left -= min(CHUNK, left)
    yield bytes(-size % 512)


def _walk(source: str, name: str) -> Iterator[tuple[str, str]]:
    yield source, name
    if os.path.isdir(source) and not os.path.islink(source):
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            yield from _walk(entry.path, f"{name}/{entry.name}")
