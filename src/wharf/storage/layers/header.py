"""Tar headers as values: 512-byte blocks and extended headers, without I/O.

Read: ustar, PAX (SCHILY.xattr, LIBARCHIVE.xattr), GNU long names and base-256 numbers, old V7. Written: ustar, with a
PAX header before it where ustar cannot hold a value. pax(1) of POSIX.1-2017, "pax Interchange Format"; tar(5).
Names are bytes throughout: a file system's names are.
"""

import binascii
import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache

from wharf.errors import Invalid

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
REGULAR, HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
EXTENDED, GLOBAL, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"
WITHOUT_DATA = frozenset((HARDLINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_SCHILY = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."
_MAX_OCTAL_8 = 0o7777777
_MAX_OCTAL_12 = 0o77777777777
_NANO = 1_000_000_000
_SPACES = 8 * 0x20
_REMEMBERED = 256
"""Fields whose numbers are kept: owners and times repeat from entry to entry."""


@dataclass(slots=True)
class Entry:
    """One entry. `kind` is a type byte above (regular for old and contiguous files); `mtime` in ns since 1970;
    `mode` the permission bits (0o7777); `size` the bytes of data that follow in the archive; `device` (major, minor);
    `exact`: to be written with the nanoseconds of its time.
    """

    name: bytes
    kind: bytes = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    exact: bool = False


def parse_block(block: bytes) -> Entry:
    """The entry of one header block; raises Invalid for a wrong checksum or a field that is no number.

    Read field by field: of most entries that a layer has, a few are looked at, and neighbours share owners and times.
    """
    if not _checksum_matches(block, number(block[148:156])):
        raise Invalid("the checksum of a header is wrong")
    name, kind = block[: block.find(b"\0", 0, 100)] if b"\0" in block[:100] else block[:100], block[156:157]
    if block[345] and block[257:263] == b"ustar\0":
        name = block[345:500].split(b"\0", 1)[0] + b"/" + name
    if kind in (b"\0", b"7"):
        kind = REGULAR
    if kind == REGULAR and name[-1:] == b"/":  # V7 knew directories by their name
        kind = DIRECTORY
    mode, uid, gid = _permissions(block[100:124])
    entry = Entry(name, kind, mode, uid, gid, 0, _time(block[136:148]))
    if kind not in WITHOUT_DATA:
        entry.size = number(block[124:136])
    elif kind in (HARDLINK, SYMLINK):
        entry.link = block[157:257].split(b"\0", 1)[0]
    elif kind in (CHAR, BLOCK_DEVICE):
        entry.device = (number(block[329:337]), number(block[337:345]))
    return entry


@lru_cache(_REMEMBERED)
def _permissions(raw: bytes) -> tuple[int, int, int]:
    return number(raw[:8]) & 0o7777, number(raw[8:16]), number(raw[16:])


@lru_cache(_REMEMBERED)
def _time(raw: bytes) -> int:
    return number(raw, True) * _NANO


def number(raw: bytes, signed: bool = False) -> int:
    """A numeric field: octal digits, or base-256 when the top bit is set (GNU). Raises Invalid."""
    if raw[0] & 0x80:
        value = int.from_bytes(raw, "big") & ((1 << (8 * len(raw) - 1)) - 1)
        if raw[0] & 0x40:
            value -= 1 << (8 * len(raw) - 1)
        if (value < 0 and not signed) or abs(value) >= 1 << 62:
            raise Invalid("a number in a header is out of range")
        return value
    digits = raw.split(b"\0", 1)[0].strip()
    if not digits:
        return 0
    if not digits.isdigit():
        raise Invalid("a number in a header is not octal")
    try:
        return int(digits, 8)
    except ValueError:
        raise Invalid("a number in a header is not octal") from None


def _checksum_matches(block: bytes, stored: int) -> bool:
    """The sum of all bytes, the checksum's own eight counted as spaces.

    Adler-32 has it as its low half (modulo 65521, plus one): one call of C where a Python sum costs ten times more.
    """
    if (zlib.adler32(block) & 0xFFFF) == (stored + sum(block[148:156]) - _SPACES + 1) % 65521:
        return True
    # Some old writers summed signed bytes.
    signed = sum(struct.unpack_from("148b", block)) + sum(struct.unpack_from("356b", block, 156)) + _SPACES
    return bool(signed == stored)


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """The records of an extended header, `length key=value\\n` each; raises Invalid."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        length = data[position:space]
        if space < 0 or not length.isdigit():
            raise Invalid("an extended header is malformed")
        end = position + int(length)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space + 1 or data[end - 1 : end] != b"\n" or not equals or not key:
            raise Invalid("an extended header is malformed")
        records[key] = value
        position = end
    return records


def apply_pax(entry: Entry, records: dict[bytes, bytes]) -> None:
    """Let the records of an extended header overrule the block; raises Invalid for what is malformed or sparse."""
    for key, value in records.items():
        if key == b"path":
            entry.name = _text(value)
            if entry.kind == REGULAR and entry.name.endswith(b"/"):
                entry.kind = DIRECTORY
        elif key == b"linkpath":
            entry.link = _text(value)
        elif key == b"size":
            if entry.kind not in WITHOUT_DATA:
                entry.size = _decimal(value)
        elif key == b"uid":
            entry.uid = _decimal(value)
        elif key == b"gid":
            entry.gid = _decimal(value)
        elif key == b"mtime":
            entry.mtime = parse_time(value)
        elif key.startswith(_SCHILY):
            entry.xattrs[_attribute(key[len(_SCHILY) :])] = value
        elif key.startswith(_LIBARCHIVE):
            entry.xattrs.setdefault(*_libarchive(key[len(_LIBARCHIVE) :], value))
        elif key.startswith(b"GNU.sparse."):
            raise Invalid("sparse files are not supported: write the archive without -S")


def _text(value: bytes) -> bytes:
    if b"\0" in value:
        raise Invalid("a name holds a NUL byte")
    return value


def _attribute(raw: bytes) -> str:
    return _text(raw).decode("utf-8", "surrogateescape")


def _libarchive(key: bytes, value: bytes) -> tuple[str, bytes]:
    """The attribute's name is percent-encoded, its value base64, padded or not."""
    head, *rest = key.split(b"%")
    try:
        name = head + b"".join(bytes.fromhex(part[:2].decode("ascii")) + part[2:] for part in rest)
        return _attribute(name), binascii.a2b_base64(value + b"=" * (-len(value) % 4))
    except ValueError:
        raise Invalid("an extended attribute is malformed") from None


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 19:
        raise Invalid("a number in an extended header is malformed")
    return int(value)


def parse_time(value: bytes) -> int:
    """`[-]seconds[.fraction]` in nanoseconds; raises Invalid."""
    whole, _, fraction = value.partition(b".")
    negative = whole.startswith(b"-")
    whole = whole[1:] if negative else whole
    if not whole.isdigit() or len(whole) > 11 or (fraction and not fraction.isdigit()):
        raise Invalid("a time in an extended header is malformed")
    nanoseconds = int(whole) * _NANO + int(fraction[:9].ljust(9, b"0") or b"0")
    return -nanoseconds if negative else nanoseconds


def format_entry(entry: Entry) -> bytes:
    """The header blocks of an entry: one ustar block, with an extended header before it where ustar cannot hold it.

    Times are written in whole seconds unless `exact`, as Docker's layers have them, so that equal trees give equal
    bytes.
    """
    records: dict[bytes, bytes] = {}
    name, prefix = _split_name(entry.name)
    if len(name) > 100 or not entry.name.isascii():
        records[b"path"], name, prefix = entry.name, entry.name[:100], b""
    if len(entry.link) > 100 or not entry.link.isascii():
        records[b"linkpath"] = entry.link
    seconds = entry.mtime // _NANO
    if entry.exact and entry.mtime >= 0 and entry.mtime % _NANO:
        records[b"mtime"] = b"%d.%09d" % (seconds, entry.mtime % _NANO)
    elif not 0 <= seconds <= _MAX_OCTAL_12:
        records[b"mtime"] = b"%d" % seconds
    for key, value, most in ((b"uid", entry.uid, _MAX_OCTAL_8), (b"gid", entry.gid, _MAX_OCTAL_8)):
        if value > most:
            records[key] = b"%d" % value
    if entry.size > _MAX_OCTAL_12:
        records[b"size"] = b"%d" % entry.size
    for attribute in sorted(entry.xattrs):
        records[_SCHILY + attribute.encode("utf-8", "surrogateescape")] = entry.xattrs[attribute]
    block = _block(entry, name, prefix, seconds)
    return _extended(records) + block if records else block


def _split_name(name: bytes) -> tuple[bytes, bytes]:
    """(name, prefix) as ustar splits a long name at a slash; name stays too long where that cannot be."""
    if len(name) <= 100 or len(name) > 256:
        return name, b""
    cut = name.rfind(b"/", 0, 156)
    if cut <= 0 or not 0 < len(name) - cut - 1 <= 100:
        return name, b""
    return name[cut + 1 :], name[:cut]


def _block(entry: Entry, name: bytes, prefix: bytes, seconds: int) -> bytes:
    fields = (
        name,
        b"%07o" % entry.mode,
        b"%07o" % (entry.uid if entry.uid <= _MAX_OCTAL_8 else 0),
        b"%07o" % (entry.gid if entry.gid <= _MAX_OCTAL_8 else 0),
        b"%011o" % (entry.size if entry.size <= _MAX_OCTAL_12 else 0),
        b"%011o" % (seconds if 0 <= seconds <= _MAX_OCTAL_12 else 0),
        b"        ",
        entry.kind,
        entry.link[:100],
        b"ustar\00000",
        b"",
        b"",
        b"%07o" % entry.device[0],
        b"%07o" % entry.device[1],
        prefix,
    )
    block = bytearray(_HEADER.pack(*fields))
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _extended(records: dict[bytes, bytes]) -> bytes:
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    head = _block(Entry(b"PaxHeaders.0/entry", EXTENDED, 0o644, size=len(body)), b"PaxHeaders.0/entry", b"", 0)
    return head + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if length - len(rest) != len(str(length)):
        length += 1
    return b"%d" % length + rest


def padding(size: int) -> bytes:
    """Zeros that fill `size` bytes of data up to a whole block."""
    return bytes(-size % BLOCK)


END = ZERO_BLOCK * 2
"""The end of an archive."""
