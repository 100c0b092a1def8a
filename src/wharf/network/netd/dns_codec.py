"""DNS messages as bytes: read a query, write an answer, check and cut what an upstream answered. No I/O.

RFC 1035 (layout), 3596 (AAAA), 6891 (EDNS), 2308 (no data). Nothing here follows a compression pointer: a question
has none, and the records of others are passed on unread. So no packet makes it loop.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41
IN = 1
NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR, NOT_IMPLEMENTED, REFUSED, BAD_VERSION = 0, 1, 2, 3, 4, 5, 16
RESPONSE, TRUNCATED, RECURSION_DESIRED, RECURSION_AVAILABLE, CHECKING_DISABLED = 0x8000, 0x200, 0x100, 0x80, 0x10
HEADER_SIZE, PLAIN_UDP_SIZE, OUR_UDP_SIZE, MAX_MESSAGE = 12, 512, 1232, 65535
"""1232: what fits into an IPv6 packet of the smallest MTU (DNS flag day 2020)."""

_HEADER = struct.Struct("!6H")
_QUESTION_END = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_OPCODE, _KEPT_FLAGS = 0x7800, RECURSION_DESIRED | CHECKING_DISABLED
_MAX_NAME, _MAX_LABEL, _MAX_RECORDS = 255, 63, 64
_QUESTION_NAME = b"\xc0\x0c"
"""A pointer to the question's name, which always begins at octet 12."""
_OUR_OPT = struct.Struct("!BHHIH")
_DNSSEC_OK = 0x8000


class Malformed(Exception):
    """A message that is no query of ours to answer; `reply` is what to send back, empty: nothing."""

    def __init__(self, why: str, reply: bytes = b"") -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `name` is in lower case without the last dot, "" is the root; `size` is what the asker takes by UDP
    (octets); `question` the question section as it came, whose spelling the answer repeats."""

    wire: bytes
    id: int
    flags: int
    name: str
    kind: int
    cls: int
    question: bytes
    size: int = PLAIN_UDP_SIZE
    edns: bool = False
    dnssec_ok: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A record about the question's own name: type and data as on the wire."""

    kind: int
    data: bytes


def parse_query(data: bytes) -> Query:
    """Read one query; raises Malformed with the refusal to send."""
    if len(data) < HEADER_SIZE:
        raise Malformed("shorter than a header")
    ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & RESPONSE:
        raise Malformed("a response")  # answering one would let two servers talk forever
    if flags & _OPCODE:
        raise Malformed("no plain query", _bare(ident, flags, NOT_IMPLEMENTED))
    if questions != 1:
        raise Malformed(f"{questions} questions", _bare(ident, flags, FORMAT_ERROR))
    try:
        name, end = _read_name(data, HEADER_SIZE)
        kind, cls = _QUESTION_END.unpack_from(data, end)
        end += 4
        options = _find_options(data, end, answers + authorities + additional)
    except (ValueError, IndexError, struct.error) as error:
        raise Malformed(str(error), _bare(ident, flags, FORMAT_ERROR)) from None
    question = data[HEADER_SIZE:end]
    if options is None:
        return Query(data, ident, flags, name, kind, cls, question)
    size, extended = options
    limit = max(PLAIN_UDP_SIZE, size)
    query = Query(data, ident, flags, name, kind, cls, question, limit, True, bool(extended & _DNSSEC_OK))
    if extended >> 16 & 0xFF:
        raise Malformed("EDNS version", answer(query, BAD_VERSION))
    return query


def answer(query: Query, code: int = NO_ERROR, records: Sequence[Record] = (), ttl: int = 0, limit: int = 0) -> bytes:
    """The answer to a query; with a `limit` (octets) what does not fit is left out and TC says so."""
    tail = _options(query, code) if query.edns else b""
    room = (limit or MAX_MESSAGE) - HEADER_SIZE - len(query.question) - len(tail)
    parts: list[bytes] = []
    for record in records:
        part = _QUESTION_NAME + _RECORD.pack(record.kind, IN, ttl, len(record.data)) + record.data
        room -= len(part)
        if room < 0:
            break
        parts.append(part)
    flags = RESPONSE | RECURSION_AVAILABLE | query.flags & _KEPT_FLAGS | code & 0xF
    if len(parts) < len(records):
        flags |= TRUNCATED
    head = _HEADER.pack(query.id, flags, 1, len(parts), 0, 1 if tail else 0)
    return b"".join((head, query.question, *parts, tail))


def with_id(wire: bytes, ident: int) -> bytes:
    """The same message under another id."""
    return ident.to_bytes(2, "big") + wire[2:]


def is_answer(query: Query, ident: int, data: bytes) -> bool:
    """True if `data` answers the query that was sent on under this id: its id, and the same question again (letters
    may change their case; a refusal may leave the question out)."""
    if len(data) < HEADER_SIZE:
        return False
    found, flags, questions = struct.unpack_from("!3H", data)
    if found != ident or not flags & RESPONSE or flags & _OPCODE:
        return False
    if questions == 0:
        return bool(flags & 0xF)
    end = HEADER_SIZE + len(query.question)
    return bool(questions == 1 and data[HEADER_SIZE:end].lower() == query.question.lower())


def code_of(data: bytes) -> int:
    """The response code of a message (without the EDNS part)."""
    return data[3] & 0xF


def is_truncated(data: bytes) -> bool:
    return bool(data[2] & TRUNCATED >> 8)


def passed_on(query: Query, data: bytes, limit: int = 0) -> bytes:
    """An upstream's answer for the asker: under the asker's id; too long for `limit`: its header and the question,
    with TC, so that the asker comes again by TCP."""
    if not limit or len(data) <= limit:
        return with_id(data, query.id)
    flags = int.from_bytes(data[2:4], "big") | TRUNCATED
    tail = _options(query, 0) if query.edns else b""
    return _HEADER.pack(query.id, flags, 1, 0, 0, 1 if tail else 0) + query.question + tail


def address_record(address: IPv4Address | IPv6Address) -> Record:
    return Record(A if address.version == 4 else AAAA, address.packed)


def write_name(name: str) -> bytes:
    """A name as labels, uncompressed; raises ValueError for one that DNS cannot hold."""
    parts = []
    for label in name.split("."):
        octets = label.encode("ascii")
        if not 1 <= len(octets) <= _MAX_LABEL:
            raise ValueError(f"label of {len(octets)} octets")
        parts.append(bytes([len(octets)]) + octets)
    wire = b"".join(parts) + b"\0"
    if len(wire) > _MAX_NAME:
        raise ValueError(f"name of {len(wire)} octets")
    return wire


def reverse_address(name: str) -> bytes | None:
    """The packed address that a name below in-addr.arpa or ip6.arpa stands for, None if it stands for none."""
    labels = name.split(".")
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return bytes(_octet(label) for label in reversed(labels[:4]))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34 and all(len(label) == 1 for label in labels[:32]):
            return bytes.fromhex("".join(reversed(labels[:32])))
    except ValueError:
        pass
    return None


def _octet(label: str) -> int:
    number = int(label)
    if str(number) != label or number > 255:
        raise ValueError(label)
    return number


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    """The name of a question and where it ends; raises ValueError or IndexError."""
    start, labels = at, []
    while length := data[at]:
        if length > _MAX_LABEL:
            raise ValueError("a compressed name in a question")
        at += 1 + length
        if at - start >= _MAX_NAME:
            raise ValueError("name too long")
        labels.append(data[at - length : at])
    if any(b"." in label for label in labels):  # a dot within a label is none between two
        labels = [label.replace(b".", b"\\.") for label in labels]
    return b".".join(labels).lower().decode("latin-1"), at + 1


def _find_options(data: bytes, at: int, count: int) -> tuple[int, int] | None:
    """Size and flags of the OPT record among `count` records, None without; raises ValueError, IndexError."""
    if count > _MAX_RECORDS:
        raise ValueError(f"{count} records in a query")
    found = None
    for _ in range(count):
        is_root = data[at] == 0
        at = _skip_name(data, at)
        kind, cls, ttl, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size + length
        if at > len(data):
            raise ValueError("a record beyond the end")
        if kind == OPT:
            if found or not is_root:
                raise ValueError("EDNS twice or under a name")
            found = (cls, ttl)
    return found


def _skip_name(data: bytes, at: int) -> int:
    while length := data[at]:
        if length & 0xC0 == 0xC0:
            return at + 2  # a pointer ends the name; where it leads does not matter here
        if length > _MAX_LABEL:
            raise ValueError("bad label")
        at += 1 + length
    return at + 1


def _options(query: Query, code: int) -> bytes:
    return _OUR_OPT.pack(0, OPT, OUR_UDP_SIZE, code >> 4 << 24 | (_DNSSEC_OK if query.dnssec_ok else 0), 0)


def _bare(ident: int, flags: int, code: int) -> bytes:
    """A refusal of what could not be read: the header alone."""
    return _HEADER.pack(ident, RESPONSE | flags & (_OPCODE | RECURSION_DESIRED) | code, 0, 0, 0, 0)
