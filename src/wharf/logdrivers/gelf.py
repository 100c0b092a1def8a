"""GELF 1.1 over udp (compressed, in chunks) and tcp (ended by a zero byte); see Graylog's docs and moby's driver."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass

from wharf.logdrivers.origin import Origin
from wharf.logdrivers.transport import Address
from wharf.logdrivers.values import parse_url
from wharf.runtime.logforms import LogEntry, parse_time

CHUNK = 1420
"""Bytes of a datagram, so that it fits an Ethernet frame (go-gelf's choice)."""
_CHUNK_HEAD = b"\x1e\x0f"
_ROOM = CHUNK - 12
MAX_CHUNKS = 128
_ERR, _INFO = 3, 6
_WINDOWS = {"gzip": 31, "zlib": 15}


@dataclass(frozen=True, slots=True)
class Gelf:
    """One container's messages; `compression` is gzip, zlib or none."""

    address: Address
    fields: dict[str, object]
    hostname: str
    compression: str
    level: int

    def encode(self, entry: LogEntry) -> list[bytes]:
        """Datagrams, or the piece of a stream; nothing for an empty line, and for what MAX_CHUNKS cannot hold."""
        text = entry.line.rstrip(b"\n").decode("utf-8", "replace")
        if not text:
            return []
        message = {
            "version": "1.1",
            "host": self.hostname,
            "short_message": text,
            "timestamp": parse_time(entry.time) // 10**6 / 1000,
            "level": _ERR if entry.stream == "stderr" else _INFO,
            **self.fields,
        }
        data = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
        if self.address.kind == "tcp":
            return [data + b"\0"]
        return _chunks(self._packed(data))

    def _packed(self, data: bytes) -> bytes:
        if self.compression == "none":
            return data
        packer = zlib.compressobj(self.level, wbits=_WINDOWS[self.compression])
        return packer.compress(data) + packer.flush()


def _chunks(data: bytes) -> list[bytes]:
    if len(data) <= CHUNK:
        return [data]
    count = -(-len(data) // _ROOM)
    if count > MAX_CHUNKS:
        return []
    head = _CHUNK_HEAD + os.urandom(8)
    return [head + bytes((n, count)) + data[n * _ROOM : (n + 1) * _ROOM] for n in range(count)]


def gelf(origin: Origin) -> Gelf:
    """From checked options."""
    options = origin.options
    address = parse_url(options["gelf-address"])
    fields: dict[str, object] = {
        "_container_id": origin.id,
        "_container_name": origin.name,
        "_image_id": origin.image_id,
        "_image_name": origin.image_name,
        "_command": origin.command,
        "_tag": origin.tag,
        "_created": origin.created,
        **{key if key.startswith("_") else f"_{key}": value for key, value in origin.extra.items()},
    }
    kind = options.get("gelf-compression-type", "gzip")
    level = int(options.get("gelf-compression-level", "1"))
    return Gelf(Address(address.scheme, address.netloc), fields, origin.hostname, kind, level)
