"""Verbs that move whole archives: save, load, import, export."""

from __future__ import annotations

import os
import sys

from wharf.cli import progress, references
from wharf.cli.flags import ANY, Command
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query, quote
from wharf.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

CHUNK = 1 << 18
_OUTPUT = ("output", "o", "string", "Write to a file, instead of STDOUT")
SAVE = Command(
    "save",
    "[OPTIONS] IMAGE [IMAGE...]",
    "Save one or more images to a tar archive (streamed to STDOUT by default)",
    (_OUTPUT, ("platform", "", "string", "Save only the given platform variant")),
    operands=(1, ANY),
    example="wharf save -o busybox.tar busybox:latest",
    aliases="wharf image save, wharf save",
)
LOAD = Command(
    "load",
    "[OPTIONS]",
    "Load an image from a tar archive or STDIN",
    (
        ("input", "i", "string", "Read from tar archive file, instead of STDIN"),
        ("platform", "", "string", "Load only the given platform variant"),
        ("quiet", "q", "bool", "Suppress the load output"),
    ),
    example="wharf load -i busybox.tar",
    aliases="wharf image load, wharf load",
)
IMPORT = Command(
    "import",
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Import the contents from a tarball to create a filesystem image",
    (
        ("change", "c", "list", "Apply Dockerfile instruction to the created image"),
        ("message", "m", "string", "Set commit message for imported image"),
        ("platform", "", "string", "Set platform if server is multi-platform capable"),
    ),
    operands=(1, 2),
    example="wharf import -c 'CMD [\"sh\"]' rootfs.tar mine:1",
    aliases="wharf image import, wharf import",
)
EXPORT = Command(
    "export",
    "[OPTIONS] CONTAINER",
    "Export a container's filesystem as a tar archive",
    (_OUTPUT,),
    operands=(1, 1),
    example="wharf export -o rootfs.tar web",
    aliases="wharf container export, wharf export",
)


def _write_out(response: Response, path: str) -> None:
    """The body into a file (under another name until it is whole) or onto standard output."""
    if not path:
        while data := response.read(CHUNK):
            sys.stdout.buffer.write(data)
        return
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "xb") as file:
            while data := response.read(CHUNK):
                file.write(data)
        os.rename(part, path)
    except OSError as error:
        raise ExitWith(f"failed to write {path}: {error.strerror}") from None
    finally:
        if os.path.exists(part):
            os.unlink(part)


def _refuse_terminal(verb: str, path: str) -> None:
    if not path and sys.stdout.isatty():
        raise ExitWith(f"cowardly refusing to {verb} to a terminal. Use the -o flag or redirect")


def save(session: Session, args: list[str]) -> int:
    """Writes images as one archive."""
    flags, names = SAVE.parse(args)
    path = flags.get("output", "")
    _refuse_terminal("save", path)
    wanted = "&".join(f"names={quote(name)}" for name in names)
    if platform := references.platform(flags.get("platform", "")):
        wanted += "&" + query({"platform": platform}).removeprefix("?")
    _write_out(session.client().request("GET", f"/images/get?{wanted}"), path)
    return 0


def export(session: Session, args: list[str]) -> int:
    """Writes a container's file system as an archive."""
    flags, (name,) = EXPORT.parse(args)
    path = flags.get("output", "")
    _refuse_terminal("export", path)
    _write_out(session.client().request("GET", f"/containers/{name}/export"), path)
    return 0


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ExitWith(f"open {path}: {str(error.strerror).lower()}") from None


def load(session: Session, args: list[str]) -> int:
    """Loads the images of an archive."""
    flags, _ = LOAD.parse(args)
    path = flags.get("input", "")
    parameters = {"quiet": True, "platform": references.platform(flags.get("platform", "")) or None}
    if not path and sys.stdin.isatty():
        raise ExitWith("requested load from stdin, but stdin is empty")
    with _open(path) if path else sys.stdin.buffer as file:
        response = session.client().upload("POST", "/images/load" + query(parameters), _chunks(file))
        progress.show(session, response)
    return 0


def import_(session: Session, args: list[str]) -> int:
    """Makes an image of a root file system's archive; prints its id."""
    flags, (source, *name) = IMPORT.parse(args)
    repository, tag = references.split(name[0]) if name else ("", "")
    parameters = {
        "fromSrc": "-",
        "repo": references.canonical(repository) if repository else "",
        "tag": tag or ("latest" if repository else ""),
        "message": flags.get("message"),
        "platform": flags.get("platform"),
    }
    changes = "".join(f"&changes={quote(change)}" for change in flags.get("change", []))
    if source.startswith(("http://", "https://")):
        raise ExitWith("wharf: import from an URL is not there yet: fetch it and import the file")
    with sys.stdin.buffer if source == "-" else _open(source) as file:
        response = session.client().upload("POST", "/images/create" + query(parameters) + changes, _chunks(file))
        progress.show(session, response)
    return 0
