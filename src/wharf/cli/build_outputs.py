"""`-o`, `--cache-to` and `--cache-from` of `wharf build`: what they ask of the engine, and where what it sends ends."""

from __future__ import annotations

import os
import sys

from wharf.cli.session import ExitWith

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

    from wharf.cli.session import Session

CHUNK = 1 << 20
CACHE = -1
"""The number under which the engine sends a cache."""


def fields(text: str) -> dict[str, str]:
    """`key=value,key=value`; a value with a comma stands in double quotes, as CSV has it."""
    import csv

    words = next(csv.reader([text]), [])
    return {key.strip().lower(): value for key, _, value in (word.partition("=") for word in words)}


def outputs(flags: dict[str, Any]) -> list[dict[str, Any]]:
    """The flags as the engine takes them. Raises ExitWith."""
    found = [_output(text) for text in flags.get("output", [])]
    if flags.get("push"):
        found.append({"Type": "image", "Attrs": {"push": "true"}})
    if flags.get("load"):
        found.append({"Type": "docker", "Attrs": {}})
    return found


def _output(text: str) -> dict[str, Any]:
    if "=" not in text.split(",")[0]:
        kind, dest = ("tar", "-") if text == "-" else ("local", text)
        return {"Type": kind, "Attrs": {"dest": dest}}
    attributes = fields(text)
    kind = attributes.pop("type", "")
    if not kind:
        raise ExitWith(f"type is required for output {text!r}")
    if kind in ("tar", "local", "oci") and not attributes.get("dest"):
        if kind == "local" or sys.stdout.isatty():
            raise ExitWith(f"dest is required for {kind} output")
        attributes["dest"] = "-"
    return {"Type": kind, "Attrs": attributes}


class Receiver:
    """Takes the bytes of outputs and brings them to their places; a file has its name once it is whole."""

    def __init__(self, wanted: list[dict[str, Any]], cache: str) -> None:
        """`cache` is the directory that gets the cache, if any."""
        self._wanted = wanted
        self._cache = cache
        self._files: dict[tuple[int, str], BinaryIO] = {}

    @property
    def to_stdout(self) -> bool:
        """Whether standard output belongs to an output: then nothing else is written to it."""
        return any(item["Attrs"].get("dest") == "-" for item in self._wanted)

    def take(self, message: dict[str, Any]) -> None:
        """One line of the engine's. Raises ExitWith where its place cannot be written."""
        from binascii import a2b_base64

        key = (int(message["output"]), str(message.get("part", "")))
        if key not in self._files:
            self._files[key] = self._open(key[0])
        self._files[key].write(a2b_base64(message["data"]))

    def _open(self, number: int) -> BinaryIO:
        import tempfile

        dest = self._dest(number)
        if dest == "-":
            return sys.stdout.buffer
        if self._is_directory(number):
            return tempfile.TemporaryFile()
        try:
            return open(f"{dest}.partial", "wb")
        except OSError as error:
            raise ExitWith(f"cannot write {dest}: {error.strerror}") from None

    def _dest(self, number: int) -> str:
        if number == CACHE:
            return self._cache
        if not 0 <= number < len(self._wanted):
            raise ExitWith("the engine sends an output that nobody asked for")
        return str(self._wanted[number]["Attrs"].get("dest", ""))

    def _is_directory(self, number: int) -> bool:
        return number == CACHE or self._wanted[number]["Type"] == "local" or (
            self._wanted[number]["Type"] == "oci" and self._wanted[number]["Attrs"].get("tar") == "false"
        )  # fmt: skip

    def finish(self) -> None:
        """The build went well: files get their names, trees their directories."""
        for (number, part), file in self._files.items():
            dest = self._dest(number)
            if dest == "-":
                file.flush()
            elif self._is_directory(number):
                file.seek(0)
                unpack_tree(file, os.path.join(dest, part) if part else dest)
                file.close()
            else:
                file.close()
                os.rename(f"{dest}.partial", dest)

    def drop(self) -> None:
        """The build failed: nothing half-made stays."""
        for (number, _), file in self._files.items():
            dest = self._dest(number)
            if dest != "-":
                file.close()
                if not self._is_directory(number):
                    os.unlink(f"{dest}.partial")


def unpack_tree(file: BinaryIO, place: str) -> None:
    """An archive's files beneath a directory, which is made; what is no file of this user's is left out."""
    import tarfile

    from wharf.cli.copy import extract_beneath

    os.makedirs(place, exist_ok=True)
    with tarfile.open(fileobj=file, mode="r|") as archive:
        for member in archive:
            if os.geteuid() == 0 or not member.isdev():
                extract_beneath(archive, member, place)


# -- caches


def cache_places(session: Session, flags: dict[str, Any]) -> tuple[list[Any], list[Any], str]:
    """What to import and to export, and the directory that gets the export, if any. Directories are sent at once."""
    imports, exports, directory = [], [], ""
    for text in flags.get("cache-from", []):
        kind, attributes = _place(text)
        if kind == "local":
            digest = _send_cache(session, attributes)
            if digest:
                imports.append({"Type": "content", "Attrs": {"digest": digest}})
            continue
        imports.append({"Type": kind, "Attrs": attributes})
    for text in flags.get("cache-to", []):
        kind, attributes = _place(text)
        if kind == "local":
            if directory or not attributes.get("dest"):
                raise ExitWith("one local cache can be exported, and needs dest=<directory>")
            directory, kind = attributes.pop("dest"), "content"
        exports.append({"Type": kind, "Attrs": attributes})
    return imports, exports, directory


def _place(text: str) -> tuple[str, dict[str, str]]:
    if "=" not in text.split(",")[0]:
        return "registry", {"ref": text}
    attributes = fields(text)
    return attributes.pop("type", "registry"), attributes


def _send_cache(session: Session, attributes: dict[str, str]) -> str:
    """Sends an exported cache; the digest by which the engine knows it, "" where there is none."""
    from wharf.cli.build_context import pack_plain
    from wharf.client.api import query

    source = attributes.get("src", "")
    if not os.path.exists(os.path.join(source, "index.json")):
        session.complain(f"WARNING: no build cache in {source!r}")
        return ""
    target = "/wharf/v1/build/cache" + query({"digest": attributes.get("digest", "")})
    response = session.client().upload("POST", target, pack_plain(source))
    return str(response.json()["Digest"])
