"""A deterministic tar writer for what save and bootstrap make: ustar headers, GNU long names where they must be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wharf.storage.compression import Readable

BLOCK = 512
COPY_SIZE = 1 << 20
_LONG_LINK = "././@LongLink"


class Sink(Protocol):
    """Where bytes go; `write` blocks until they are taken."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Node:
    """Owner, mode and time of an entry; `mtime` in seconds since 1970."""

    mode: int = 0o644
    mtime: int = 0
    uid: int = 0
    gid: int = 0


class TarWriter:
    """Entries in the order they are added; `close` writes the end marker and leaves the sink open."""

    def __init__(self, out: Sink) -> None:
        self._write: Callable[[bytes], object] = out.write

    def directory(self, name: str, node: Node = Node(0o755)) -> None:
        """`name` without a trailing slash."""
        self._header(name + "/", b"5", 0, node)

    def data(self, name: str, data: bytes, node: Node = Node()) -> None:
        """A regular file from memory."""
        self._header(name, b"0", len(data), node)
        self._write(data + bytes(-len(data) % BLOCK))

    def copy(self, name: str, source: Readable, size: int, node: Node = Node()) -> None:
        """A regular file of exactly `size` bytes from `source`; raises ValueError when it is shorter."""
        self._header(name, b"0", size, node)
        left = size
        while left:
            data = source.read(min(COPY_SIZE, left))
            if not data:
                raise ValueError(f"{name} ended {left} bytes early")
            self._write(data)
            left -= len(data)
        self._write(bytes(-size % BLOCK))

    def symlink(self, name: str, target: str, node: Node = Node(0o777)) -> None:
        """A symbolic link."""
        self._header(name, b"2", 0, node, target)

    def hard_link(self, name: str, target: str, node: Node = Node()) -> None:
        """Another name of an earlier entry."""
        self._header(name, b"1", 0, node, target)

    def close(self) -> None:
        """Write the end marker."""
        self._write(bytes(2 * BLOCK))

    def _header(self, name: str, kind: bytes, size: int, node: Node, link: str = "") -> None:
        for flag, text in ((b"L", name), (b"K", link)):
            raw = text.encode("utf-8", "surrogateescape")
            if len(raw) > 100:
                self._write(_block(_LONG_LINK.encode(), flag, len(raw) + 1, Node(), b""))
                self._write(raw + bytes(BLOCK - len(raw) % BLOCK))
        encoded = (name.encode("utf-8", "surrogateescape")[:100], link.encode("utf-8", "surrogateescape")[:100])
        self._write(_block(encoded[0], kind, size, node, encoded[1]))


def _octal(value: int, width: int) -> bytes:
    text = b"%0*o" % (width - 1, value)
    if len(text) < width:
        return text + b"\0"
    return (value | 0x80 << 8 * (width - 1)).to_bytes(width, "big")


def _block(name: bytes, kind: bytes, size: int, node: Node, link: bytes) -> bytes:
    head = (
        name.ljust(100, b"\0")
        + _octal(node.mode, 8)
        + _octal(node.uid, 8)
        + _octal(node.gid, 8)
        + _octal(size, 12)
        + _octal(node.mtime, 12)
    )
    tail = kind + link.ljust(100, b"\0") + b"ustar  \0"
    total = sum(head) + 8 * 32 + sum(tail)
    return (head + b"%06o\0 " % total + tail).ljust(BLOCK, b"\0")
