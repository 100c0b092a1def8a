"""Messages between wharfd, launcher, monitor and first process: one seqpacket each, JSON with descriptors beside it.

Header: version u16, flags u16, length u32, little-endian; then the JSON object, or, when it is larger than a
packet should be, nothing and the JSON in a memfd that is the last descriptor. A reader refuses a version that
it does not know by name; a new wharfd speaks to monitors of the release before, so `VERSION` changes with the
meaning of a message only.

A monitor uses this for all its life, so it goes to the C types directly: the Python layers of `socket` and `json`
would each make some hundred kilobytes of shared memory its own.
"""

import _socket
import array
import errno
import json
import os
import struct
from typing import Any

VERSION = 1
KNOWN_VERSIONS = (1,)
INLINE_LIMIT = 48 << 10
MAX_MESSAGE = 16 << 20
MAX_FDS = 253
"""Of one message: SCM_MAX_FD, the kernel's own limit (unix(7))."""
APPLYING = "unable to apply cgroup configuration: "
"""How a failure begins that runc has before it calls the first process its init."""
JOINING = "error joining the container's namespaces: "
GONE = JOINING + "no such process"
"""How the failure of an exec ends whose container has just ended: its namespaces go before its pidfd tells."""

_HEADER = struct.Struct("<HHI")
_IN_MEMFD = 1
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode_json = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_ANCILLARY = _socket.CMSG_SPACE(MAX_FDS * 4)


class Closed(Exception):
    """The other side has gone."""


def to_memfd(value: dict[str, Any]) -> int:
    """A value that only a later process will parse, as JSON in a memfd."""
    return _memfd(_encode(value).encode())


def from_memfd(fd: int) -> dict[str, Any]:
    """The value of `to_memfd`; closes the descriptor."""
    try:
        value = json.loads(os.pread(fd, os.fstat(fd).st_size, 0))
    finally:
        os.close(fd)
    if not isinstance(value, dict):
        raise ValueError("message is not an object")
    return value


def send(
    sock: _socket.socket, message: dict[str, Any], fds: "tuple[int, ...] | list[int]" = (), flags: int = 0
) -> None:
    """Send one message; raises Closed when nobody is there, BlockingIOError with MSG_DONTWAIT."""
    body = _encode(message).encode()
    extra = -1
    try:
        if len(body) > INLINE_LIMIT:
            extra = _memfd(body)
            head, body = _HEADER.pack(VERSION, _IN_MEMFD, len(body)), b""
        else:
            head = _HEADER.pack(VERSION, 0, len(body))
        passed = [*fds, extra] if extra >= 0 else list(fds)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", passed))] if passed else []
        sock.sendmsg([head, body], rights, flags | _socket.MSG_NOSIGNAL)
    except (BrokenPipeError, ConnectionResetError, ConnectionRefusedError) as error:
        raise Closed(str(error)) from None
    finally:
        if extra >= 0:
            os.close(extra)


def receive(sock: _socket.socket, flags: int = 0) -> tuple[dict[str, Any], list[int]]:
    """The next message and its descriptors (close-on-exec, the caller's); raises Closed at the end."""
    try:
        # Ask for the size first: a buffer for the largest message would stay in a waiting monitor's memory.
        peek = flags | _socket.MSG_PEEK | _socket.MSG_TRUNC
        size = max(_past_reset(lambda: sock.recv_into(bytearray(1), 1, peek)), 1)
        data, ancillary, given, _ = _past_reset(
            lambda: sock.recvmsg(size, _ANCILLARY, flags | _socket.MSG_CMSG_CLOEXEC)
        )
    except (ConnectionResetError, BrokenPipeError) as error:
        raise Closed(str(error)) from None
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
            rights = array.array("i")
            rights.frombytes(payload[: len(payload) - len(payload) % rights.itemsize])
            fds.extend(rights)
    if not data:
        close_all(fds)
        raise Closed("end of file")
    if given & _socket.MSG_CTRUNC:  # the kernel drops the descriptors that do not fit below our limit
        close_all(fds)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    try:
        return _decode(data, fds), fds
    except BaseException:
        close_all(fds)
        raise


def _past_reset(read: Any) -> Any:
    """A peer that closes with unread messages resets us, and the kernel tells that once, before what it had sent."""
    try:
        return read()
    except ConnectionResetError:
        return read()


def _decode(data: bytes, fds: list[int]) -> dict[str, Any]:
    version, flags, length = _HEADER.unpack_from(data)
    if version not in KNOWN_VERSIONS:
        raise ValueError(f"message version {version} is not known here (known: {KNOWN_VERSIONS})")
    body = data[_HEADER.size :]
    if flags & _IN_MEMFD:
        if length > MAX_MESSAGE or not fds:
            raise ValueError(f"message of {length} bytes exceeds {MAX_MESSAGE}")
        extra = fds.pop()
        try:
            body = os.pread(extra, length, 0)
        finally:
            os.close(extra)
    if len(body) != length:
        raise ValueError(f"message of {length} bytes came with {len(body)}")
    message, _ = _decode_json(body.decode(), 0)
    if not isinstance(message, dict):
        raise ValueError("message is not an object")
    return message


def _memfd(body: bytes) -> int:
    fd = os.memfd_create("wharf-message", os.MFD_CLOEXEC)
    view = memoryview(body)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def close_all(fds: "tuple[int, ...] | list[int]") -> None:
    """Close descriptors; those closed before are fine."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            continue


def pair() -> tuple[_socket.socket, _socket.socket]:
    """A connected pair for messages, close-on-exec."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
