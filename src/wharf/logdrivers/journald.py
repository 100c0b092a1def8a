"""journald by its native protocol (systemd, JOURNAL_NATIVE_PROTOCOL.md); the fields are those of Docker's driver."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from wharf.logdrivers.origin import Origin
from wharf.logdrivers.transport import Address
from wharf.runtime.logforms import LogEntry

SOCKET = "/run/systemd/journal/socket"
_PATH = "WHARF_JOURNAL_SOCKET"
"""Environment of wharfd: another socket, for a journal in another place."""
_ERR, _INFO = b"3", b"6"
_BAD = re.compile("[^A-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Journald:
    """One container's messages; `fields` are packed already."""

    address: Address
    fields: bytes

    def encode(self, entry: LogEntry) -> list[bytes]:
        """One datagram."""
        priority = _ERR if entry.stream == "stderr" else _INFO
        out = _field("MESSAGE", entry.line.removesuffix(b"\n")) + _field("PRIORITY", priority) + self.fields
        out += _field("SYSLOG_TIMESTAMP", entry.time.encode())
        if entry.partial is not None:
            out += _field("CONTAINER_PARTIAL_ID", entry.partial.name.encode())
            out += _field("CONTAINER_PARTIAL_ORDINAL", str(entry.partial.ordinal).encode())
            out += _field("CONTAINER_PARTIAL_LAST", b"true" if entry.partial.last else b"false")
            if not entry.partial.last:
                out += _field("CONTAINER_PARTIAL_MESSAGE", b"true")
        return [out]


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def field_name(key: str) -> str:
    """A name that the journal takes: capital letters, digits and underscores, none of them first."""
    return _BAD.sub("_", key.upper()).lstrip("_")


def journal_socket() -> str:
    """Where the journal listens."""
    return os.environ.get(_PATH, SOCKET)


def journald(origin: Origin) -> Journald:
    """From checked options."""
    fields = {
        "CONTAINER_ID": origin.short_id,
        "CONTAINER_ID_FULL": origin.id,
        "CONTAINER_NAME": origin.name,
        "CONTAINER_TAG": origin.tag,
        "IMAGE_NAME": origin.image_name,
        "SYSLOG_IDENTIFIER": origin.tag,
        **{name: value for key, value in origin.extra.items() if (name := field_name(key))},
    }
    packed = b"".join(_field(name, value.encode()) for name, value in fields.items())
    return Journald(Address("unixgram", journal_socket()), packed)
