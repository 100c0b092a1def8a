"""A D-Bus client as small as systemd's manager needs (D-Bus specification: wire protocol, EXTERNAL authentication).

Glossary: a *body* is a list of values beside a signature; a variant is a pair (signature, value). One connection is
for one thread and one errand; whatever signals come while a reply is awaited are kept in `signals`.
"""

import os
import socket
import struct
import time
from typing import Any

_FIXED = {"y": (1, "B"), "b": (4, "I"), "u": (4, "I"), "i": (4, "i"), "t": (8, "Q"), "x": (8, "q")}
_ALIGN = {"s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, **{kind: size for kind, (size, _) in _FIXED.items()}}
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_TO, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_HEAD = "yyyyuua(yv)"
MAX_MESSAGE = 1 << 20


class BusError(OSError):
    """An error reply: `name` is the D-Bus name of the error."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(5, message or name)
        self.name = name


def split(signature: str) -> list[str]:
    """The complete types of a signature: `sa(sv)u` is s, a(sv), u."""
    found: list[str] = []
    start = depth = 0
    for position, letter in enumerate(signature):
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and letter != "a":
            found.append(signature[start : position + 1])
            start = position + 1
    return found


def pack(out: bytearray, kind: str, value: Any) -> None:
    """Append one value of a complete type; alignment counts from the start of `out`."""
    letter = kind[0]
    out.extend(bytes(-len(out) % _ALIGN[letter]))
    if letter in _FIXED:
        out += struct.pack("<" + _FIXED[letter][1], value)
    elif letter in "so":
        data = value.encode()
        out += struct.pack("<I", len(data)) + data + b"\0"
    elif letter == "g":
        out += bytes([len(value)]) + value.encode() + b"\0"
    elif letter == "v":
        pack(out, "g", value[0])
        pack(out, value[0], value[1])
    elif letter == "(":
        for inner, item in zip(split(kind[1:-1]), value, strict=True):
            pack(out, inner, item)
    else:
        _pack_array(out, kind[1:], value)


def _pack_array(out: bytearray, kind: str, items: Any) -> None:
    at = len(out)
    out += bytes(4)
    out.extend(bytes(-len(out) % _ALIGN[kind[0]]))  # the padding before the first element does not count
    start = len(out)
    for item in items:
        pack(out, kind, item)
    struct.pack_into("<I", out, at, len(out) - start)


def unpack(data: bytes, at: int, kind: str) -> tuple[Any, int]:
    """One value of a complete type at `at`, and where the next may begin. Raises ValueError or struct.error."""
    letter = kind[0]
    at += -at % _ALIGN[letter]
    if letter in _FIXED:
        size, form = _FIXED[letter]
        return struct.unpack_from("<" + form, data, at)[0], at + size
    if letter in "sog":
        size = data[at] if letter == "g" else struct.unpack_from("<I", data, at)[0]
        at += 1 if letter == "g" else 4
        return data[at : at + size].decode(), at + size + 1
    if letter == "v":
        inner, at = unpack(data, at, "g")
        value, at = unpack(data, at, inner)
        return (inner, value), at
    if letter == "(":
        items = []
        for inner in split(kind[1:-1]):
            value, at = unpack(data, at, inner)
            items.append(value)
        return tuple(items), at
    return _unpack_array(data, at, kind[1:])


def _unpack_array(data: bytes, at: int, kind: str) -> tuple[list[Any], int]:
    size = struct.unpack_from("<I", data, at)[0]
    at += 4
    at += -at % _ALIGN[kind[0]]
    end, items = at + size, []
    if end > len(data):
        raise ValueError("a D-Bus array ends behind its message")
    while at < end:
        value, at = unpack(data, at, kind)
        items.append(value)
    return items, at


def message(
    kind: int, serial: int, fields: list[tuple[int, tuple[str, Any]]], signature: str, body: list[Any]
) -> bytes:
    """A whole message, little-endian."""
    content = bytearray()
    for inner, value in zip(split(signature), body, strict=True):
        pack(content, inner, value)
    if signature:
        fields = [*fields, (_SIGNATURE, ("g", signature))]
    out = bytearray()
    for inner, value in zip(split(_HEAD), (ord("l"), kind, 0, 1, len(content), serial, fields), strict=True):
        pack(out, inner, value)
    out.extend(bytes(-len(out) % 8))
    return bytes(out + content)


class Bus:
    """A connection; `with Bus(path) as bus`. Raises OSError, TimeoutError when an answer does not come in time."""

    def __init__(self, path: str, timeout: float = 10.0, *, broker: bool = False) -> None:
        self.signals: list[tuple[str, list[Any]]] = []
        self._serial, self._buffer = 0, bytearray()
        self._deadline = time.monotonic() + timeout
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._sock.settimeout(timeout)
            self._sock.connect(path)
            self._authenticate()
            if broker:
                self.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus.Hello")
        except BaseException:
            self._sock.close()
            raise

    def __enter__(self) -> "Bus":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def _authenticate(self) -> None:
        self._sock.sendall(b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\n")
        while b"\r\n" not in self._buffer:
            self._fill()
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise BusError("org.freedesktop.DBus.Error.AuthFailed", line.decode(errors="replace")[:200])
        self._buffer = bytearray(rest)
        self._sock.sendall(b"BEGIN\r\n")

    def call(self, destination: str, path: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        """Call `interface.Member` and give the values of its reply. Raises BusError."""
        self._serial += 1
        interface, _, name = member.rpartition(".")
        fields = [
            (_PATH, ("o", path)), (_INTERFACE, ("s", interface)), (_MEMBER, ("s", name)),
            (_DESTINATION, ("s", destination)),
        ]  # fmt: skip
        self._sock.sendall(message(_CALL, self._serial, fields, signature, list(body)))
        while True:
            kind, header, values = self._receive()
            if kind == _SIGNAL:
                self.signals.append((header.get(_MEMBER, ""), values))
            elif header.get(_REPLY_TO) != self._serial:
                continue
            elif kind == _ERROR:
                raise BusError(header.get(_ERROR_NAME, ""), str(values[0]) if values else "")
            elif kind == _RETURN:
                return values

    def signal(self) -> tuple[str, list[Any]]:
        """The next signal: its member and its values."""
        while not self.signals:
            kind, header, values = self._receive()
            if kind == _SIGNAL:
                self.signals.append((header.get(_MEMBER, ""), values))
        return self.signals.pop(0)

    def _receive(self) -> tuple[int, dict[int, Any], list[Any]]:
        while len(self._buffer) < 16:
            self._fill()
        length, _, fields = struct.unpack_from("<III", self._buffer, 4)
        start = 16 + fields + -fields % 8
        if self._buffer[0] != ord("l") or start + length > MAX_MESSAGE:
            raise BusError("org.freedesktop.DBus.Error.InvalidArgs", "a message of a form that is not understood")
        while len(self._buffer) < start + length:
            self._fill()
        head, content = bytes(self._buffer[:start]), bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        header = {code: value for code, (_, value) in unpack(head, 12, "a(yv)")[0]}
        values, at = [], 0
        try:
            for kind in split(header.get(_SIGNATURE, "")):
                value, at = unpack(content, at, kind)
                values.append(value)
        except (KeyError, IndexError, ValueError, struct.error):  # a type that is not ours, in somebody's signal
            values = []
        return head[1], header, values

    def _fill(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("systemd did not answer in time")
        self._sock.settimeout(left)
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionResetError(104, "the bus closed the connection")
        self._buffer += data
