"""The outer archive of load and of a .deb: a tar read once from front to back, entry by entry.

Only what such archives hold is understood: regular files, links, directories, GNU long names and PAX path, linkpath
and size (POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format"). Everything read into
memory is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from wharf.errors import Invalid
from wharf.storage.compression import Readable

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Bytes of one PAX record set or GNU long name."""
MAX_ENTRIES = 1_000_000
READ_SIZE = 1 << 20

REGULAR, HARD_LINK, SYMLINK, DIRECTORY = "file", "link", "symlink", "directory"
_KINDS = {b"0": REGULAR, b"\0": REGULAR, b"7": REGULAR, b"1": HARD_LINK, b"2": SYMLINK, b"5": DIRECTORY}


@dataclass(frozen=True, slots=True)
class Entry:
    """One header. `kind` is a word of this module, or the type flag for kinds it does not know; `size` in bytes."""

    name: str
    kind: str
    size: int
    mode: int
    mtime: int
    link: str


class TarReader:
    """Iterate for entries; between two of them `read` gives the current entry's content, then b""."""

    def __init__(self, source: Readable, what: str) -> None:
        """`what` names the archive in errors, as in `image archive`."""
        self._source = source
        self._what = what
        self._left = 0
        self._padding = 0
        self._rest = b""

    def __iter__(self) -> Iterator[Entry]:
        """Raises Invalid for a damaged or truncated archive."""
        pax: dict[str, str] = {}
        long_name = long_link = ""
        for _ in range(MAX_ENTRIES):
            self._skip()
            header = self._take(BLOCK, at_start=True)
            if not header or not any(header):
                self.drain()
                return
            kind, size = self._checked(header)
            if kind in (b"x", b"g", b"L", b"K"):
                data = self._extension(size)
                if kind == b"x":
                    pax = _pax(data, self._what)
                elif kind == b"L":
                    long_name = _text(data)
                elif kind == b"K":
                    long_link = _text(data)
                continue
            size = _pax_size(pax, size, self._what)
            name = pax.get("path") or long_name or _ustar_name(header)
            link = pax.get("linkpath") or long_link or _text(header[157:257])
            plain = _KINDS.get(kind, kind.decode("latin-1"))
            self._left = size if plain not in (HARD_LINK, SYMLINK, DIRECTORY) else 0
            self._padding = -self._left % BLOCK
            yield Entry(name, plain, self._left, _number(header[100:108]) & 0o7777, _number(header[136:148]), link)
            pax, long_name, long_link = {}, "", ""
        raise Invalid(f"invalid {self._what}: more than {MAX_ENTRIES} entries")

    def read(self, size: int, /) -> bytes:
        """The next bytes of the current entry, b"" at its end."""
        want = min(size, self._left)
        if want == 0:
            return b""
        if self._rest:
            data, self._rest = self._rest[:want], self._rest[want:]
        else:
            data = self._source.read(want)
        if not data:
            raise Invalid("unexpected EOF")
        self._left -= len(data)
        return data

    def read_all(self, limit: int) -> bytes:
        """The whole rest of the current entry; raises Invalid when it is larger than `limit` bytes."""
        if self._left > limit:
            raise Invalid(f"invalid {self._what}: an entry of {self._left} bytes exceeds the limit of {limit}")
        return b"".join(iter(lambda: self.read(READ_SIZE), b""))

    def drain(self) -> None:
        """Read what follows the end marker, so that whoever sends it is not cut off."""
        while self._source.read(READ_SIZE):
            pass

    def _skip(self) -> None:
        while self.read(READ_SIZE):
            pass
        if self._padding:
            self._take(self._padding)
            self._padding = 0

    def _take(self, size: int, at_start: bool = False) -> bytes:
        data, self._rest = self._rest[:size], self._rest[size:]
        while len(data) < size:
            more = self._source.read(size - len(data))
            if not more:
                if at_start and not data:
                    return b""
                raise Invalid("unexpected EOF")
            data += more
        return data

    def _extension(self, size: int) -> bytes:
        if size > MAX_EXTENSION:
            raise Invalid(f"invalid {self._what}: an extended header of {size} bytes exceeds {MAX_EXTENSION}")
        data = self._take(size)
        self._take(-size % BLOCK)
        return data

    def _checked(self, header: bytes) -> tuple[bytes, int]:
        total = sum(header[:148]) + 8 * 32 + sum(header[156:])
        if _number(header[148:156]) != total:
            raise Invalid("archive/tar: invalid tar header")
        size = _number(header[124:136])
        if size < 0:
            raise Invalid("archive/tar: invalid tar header")
        return header[156:157], size


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(data: bytes) -> int:
    """Octal, or base 256 where the first bit is set; -1 for anything else."""
    if data[0] & 0x80:
        return int.from_bytes(data, "big") - (0x80 << (8 * (len(data) - 1))) if not data[0] & 0x40 else -1
    try:
        return int(data.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        return -1


def _ustar_name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _pax(data: bytes, what: str) -> dict[str, str]:
    records: dict[str, str] = {}
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(data):
            raise Invalid(f"invalid {what}: malformed PAX record")
        key, equals, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        if not equals:
            raise Invalid(f"invalid {what}: malformed PAX record")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]
    return records


def _pax_size(pax: dict[str, str], size: int, what: str) -> int:
    text = pax.get("size")
    if text is None:
        return size
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid(f"invalid {what}: malformed PAX size {text[:40]!r}")
    return int(text)
