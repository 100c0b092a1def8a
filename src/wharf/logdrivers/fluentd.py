"""fluentd's forward protocol, version 1, message mode: `[tag, time, record, option]` in MessagePack.

What is packed is arrays, maps of texts, integers and one extension, so the few lines are here (msgpack's spec.md).
"""

from __future__ import annotations

import base64
import os
import struct
from dataclasses import dataclass

from wharf.logdrivers.check import check_fluentd_address
from wharf.logdrivers.origin import Origin
from wharf.logdrivers.transport import Address, Tls
from wharf.logdrivers.values import TRUE
from wharf.runtime.logforms import LogEntry, parse_time


def pack_text(data: bytes) -> bytes:
    """A str; bytes that are not UTF-8 go as they are, as Docker sends them."""
    size = len(data)
    if size < 32:
        return bytes((0xA0 | size,)) + data
    if size < 1 << 8:
        return b"\xd9" + size.to_bytes(1, "big") + data
    if size < 1 << 16:
        return b"\xda" + size.to_bytes(2, "big") + data
    return b"\xdb" + size.to_bytes(4, "big") + data


def pack_head(size: int) -> bytes:
    """The beginning of a map of so many items."""
    return bytes((0x80 | size,)) if size < 16 else b"\xde" + size.to_bytes(2, "big")


def pack_items(items: dict[bytes, bytes]) -> bytes:
    """The items of a map of str to str."""
    return b"".join(pack_text(key) + pack_text(value) for key, value in items.items())


@dataclass(frozen=True, slots=True)
class Fluentd:
    """One container's messages. With `acks` each is answered before the next."""

    address: Address
    tag: bytes
    record: bytes
    """Its fields that are the same for every message, packed."""
    fields: int
    """How many these are."""
    precise: bool
    acks: bool

    def encode(self, entry: LogEntry) -> list[bytes]:
        """One message; see `chunk_of` for what the receiver answers."""
        record = {b"source": entry.stream.encode(), b"log": entry.line.removesuffix(b"\n")}
        if entry.partial is not None:
            record[b"partial_message"] = b"true"
            record[b"partial_id"] = entry.partial.name.encode()
            record[b"partial_ordinal"] = str(entry.partial.ordinal).encode()
            record[b"partial_last"] = b"true" if entry.partial.last else b"false"
        seconds, nanoseconds = divmod(parse_time(entry.time), 10**9)
        when = (
            struct.pack(">BBII", 0xD7, 0, seconds, nanoseconds) if self.precise else struct.pack(">BI", 0xCE, seconds)
        )
        option = {b"chunk": base64.b64encode(os.urandom(16))} if self.acks else {}
        packed = pack_head(self.fields + len(record)) + self.record + pack_items(record)
        return [b"\x94" + self.tag + when + packed + pack_head(len(option)) + pack_items(option)]


def chunk_of(message: bytes) -> bytes:
    """The chunk's name that a receiver must answer: what `encode` put last."""
    return message[-24:]


def fluentd(origin: Origin) -> Fluentd:
    """From checked options."""
    options = origin.options
    scheme, target = check_fluentd_address(options.get("fluentd-address", ""))
    record = {
        b"container_id": origin.id.encode(),
        b"container_name": f"/{origin.name}".encode(),
        **{key.encode(): value.encode() for key, value in origin.extra.items()},
    }
    return Fluentd(
        Address("tcp" if scheme == "tls" else scheme, target, Tls() if scheme == "tls" else None),
        pack_text(origin.tag.encode()),
        pack_items(record),
        len(record),
        options.get("fluentd-sub-second-precision", "") in TRUE,
        options.get("fluentd-request-ack", "") in TRUE,
    )
