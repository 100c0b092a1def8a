"""Compressed streams, recognised by their first bytes and read in bounded pieces.

Only wharfd imports this (isal and zstandard are not in the standard library); a worker gets plain bytes. A library is
loaded with the first stream of its kind.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from wharf.errors import Invalid
from wharf.storage.limits import Limits

CHUNK = 1 << 20
_MAGIC_LENGTH = 6
_ZSTD_MAX_WINDOW = 1 << 27
_LZMA_MEMORY = 256 << 20


class Readable(Protocol):
    """Anything with a blocking read; b"" is the end."""

    def read(self, size: int, /) -> bytes: ...


class _Counted:
    """The source with its first bytes put back, counting what was taken."""

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._pending = b""
        self.count = 0

    def peek(self, size: int) -> bytes:
        while len(self._pending) < size and (more := self._source.read(CHUNK)):
            self._pending += more
        return self._pending[:size]

    def read(self, size: int = CHUNK) -> bytes:
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
        else:
            data = self._source.read(size)
        self.count += len(data)
        return data


class Reader:
    """Uncompressed bytes of `source`. Raises Invalid for damaged data and for a bomb, naming `name` and the limit."""

    def __init__(self, source: Readable, limits: Limits, name: str = "") -> None:
        self._counted = _Counted(source)
        self._limits = limits
        self._prefix = f"{name}: " if name else ""
        self._out = 0
        self.kind = _kind(self._counted.peek(_MAGIC_LENGTH))
        self._decoder, self._damage = _DECODERS[self.kind](self._counted)

    def read(self, size: int = CHUNK) -> bytes:
        """At most `size` bytes; b"" at the end."""
        try:
            data = self._decoder.read(size)
        except (OSError, EOFError, self._damage) as error:
            raise Invalid(f"{self._prefix}the {self.kind} data is damaged: {error}") from None
        self._out += len(data)
        beyond = self._out > self._limits.ratio_floor and self.kind != "plain"
        if beyond and self._out > self._limits.max_ratio * max(self._counted.count, 1):
            ratio = self._limits.max_ratio
            raise Invalid(f"{self._prefix}it expands more than {ratio}:1 (limit max-ratio): a decompression bomb")
        return data


class _Decoder(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Members:
    """Members one after the other (gzip, bzip2, xz), by decoders that share the standard library's shape."""

    def __init__(self, source: _Counted, make: Any) -> None:
        self._source = source
        self._make = make
        self._decoder = make()
        self._input = b""

    def read(self, size: int) -> bytes:
        while True:
            if self._decoder.eof and not self._next_member():
                return b""
            if not self._input and self._decoder.needs_input:
                self._input = self._source.read(CHUNK)
                if not self._input:
                    raise EOFError("it is cut short")
            data: bytes = self._decoder.decompress(self._input, size)
            self._input = b""
            if data:
                return data

    def _next_member(self) -> bool:
        """Zeros after the last member are padding (gzip(1))."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while not rest and (more := self._source.read(CHUNK)):
            rest = more.lstrip(b"\0")
        if not rest:
            return False
        self._decoder = self._make()
        self._input = rest
        return True


_Opened = tuple[_Decoder, type[Exception]]
"""A decoder, and what it raises for damaged data (OSError and EOFError count with each)."""


def _plain(source: _Counted) -> _Opened:
    return source, OSError


def _gzip(source: _Counted) -> _Opened:
    from isal import igzip_lib

    make = partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP)
    return _Members(source, make), igzip_lib.IsalError  # type: ignore[return-value]


def _bzip2(source: _Counted) -> _Opened:
    from bz2 import BZ2Decompressor

    return _Members(source, BZ2Decompressor), OSError


def _xz(source: _Counted) -> _Opened:
    import lzma

    return _Members(source, partial(lzma.LZMADecompressor, memlimit=_LZMA_MEMORY)), lzma.LZMAError


def _zstd(source: _Counted) -> _Opened:
    """A stream cut within a frame ends early here without an error: the archive in it, or its digest, tells."""
    import zstandard

    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
    reader = decoder.stream_reader(source, read_size=CHUNK, read_across_frames=True)  # type: ignore[arg-type]
    return reader, zstandard.ZstdError


_DECODERS: dict[str, Callable[[_Counted], _Opened]] = {
    "plain": _plain,
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zstd": _zstd,
}


def _kind(magic: bytes) -> str:
    if magic[:2] == b"\x1f\x8b":
        return "gzip"
    if magic[:4] == b"\x28\xb5\x2f\xfd":
        return "zstd"
    if magic[:3] == b"BZh":
        return "bzip2"
    if magic == b"\xfd7zXZ\0":
        return "xz"
    return "plain"


def decompressed(source: Readable, limits: Limits | None = None, name: str = "") -> Reader:
    """A reader of what `source` holds, whatever it is compressed with; `name` is for messages."""
    return Reader(source, limits or Limits(), name)
