"""An attached container or exec at this end: terminal in raw mode, input forwarded, output taken apart."""

from __future__ import annotations

import os
import select

from wharf.client.http import Connection
from wharf.errors import Invalid
from wharf.spec.detach import DetachFilter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

RECEIVE = 262144
"""One receive; frames of several small writes leave in one write(2)."""
STDIN_CHUNK = 32768
DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_HEADER = 8


class Frames:
    """Takes Docker's multiplexed stream apart (eight bytes of header: stream, three zeros, length)."""

    def __init__(self) -> None:
        self._rest = b""
        self._stream = 1
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(descriptor, bytes) runs that `data` completes or continues; neighbours of one stream are joined."""
        if self._rest:
            data = self._rest + data
        runs: list[tuple[int, bytes]] = []
        parts: list[bytes] = []
        current, position, end = self._stream, 0, len(data)
        while position < end:
            if self._left == 0:
                if end - position < _HEADER:
                    break
                stream = 2 if data[position] in (2, 3) else 1
                self._left = int.from_bytes(data[position + 4 : position + 8], "big")
                position += _HEADER
                if stream != current and parts:
                    runs.append((current, b"".join(parts)))
                    parts = []
                current = stream
                continue
            stop = min(position + self._left, end)
            parts.append(data[position:stop])
            self._left -= stop - position
            position = stop
        if parts:
            runs.append((current, b"".join(parts)))
        self._stream = current
        self._rest = data[position:]
        return runs


def write_all(descriptor: int, data: bytes) -> None:
    """Writes everything, also to a descriptor that is non-blocking for someone else's sake."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def detach_filter(text: str) -> DetachFilter | None:
    """The filter for `ctrl-p,ctrl-q` and the like; None for no keys."""
    return DetachFilter(bytes(_key_code(key) for key in text.split(","))) if text else None


def _key_code(key: str) -> int:
    if len(key) == 1:
        return ord(key)
    name = key.removeprefix("ctrl-")
    if name != key and len(name) == 1 and ("a" <= name <= "z" or name in "@[\\]^_"):
        return ord(name.upper()) & 0x1F
    raise Invalid(f"invalid detach keys ({key}) provided: Unknown character: '{key}'")


class RawTerminal:
    """Standard input in raw mode for the time of a `with`; nothing happens when it is no terminal or not wanted."""

    def __init__(self, wanted: bool) -> None:
        self._saved: list[Any] | None = None
        self._wanted = wanted and os.isatty(0)

    def __enter__(self) -> None:
        if self._wanted:
            import termios
            import tty

            self._saved = termios.tcgetattr(0)
            tty.setraw(0)

    def __exit__(self, *exception: object) -> None:
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)


def terminal_size() -> tuple[int, int] | None:
    """(lines, columns) of the terminal on standard output, None when it is none."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return size.lines, size.columns


def pump(connection: Connection, *, tty: bool, stdin: bool, detach_keys: str = DEFAULT_DETACH_KEYS) -> bool:
    """Copies both ways until the daemon ends the stream; True when the user detached.

    Input ends with a half-close, output still comes. What cannot be sent yet waits here, and standard input with
    it: a container that writes but does not read must not stop its own output.
    """
    sock = connection.sock
    sock.setblocking(False)
    poll = select.poll()
    socket_fd = sock.fileno()
    poll.register(socket_fd, select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    keys = detach_filter(detach_keys if tty and stdin else "")
    emit = _emitter(tty)
    emit(connection.early)
    connection.early = b""
    pending, at_end = b"", False
    while True:
        for descriptor, events in poll.poll():
            if descriptor == 0:
                data, at_end, detached = _typed(keys)
                if detached:
                    return True
                pending += data
                poll.unregister(0)
            elif events & ~select.POLLOUT:
                try:
                    data = sock.recv(RECEIVE)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    return False
                if not data:
                    return False
                emit(data)
        if stdin:
            pending = _send(sock, pending)
            if pending:
                poll.modify(socket_fd, select.POLLIN | select.POLLOUT)
                continue
            poll.modify(socket_fd, select.POLLIN)
            if at_end:
                stdin = False
                _half_close(sock)
            else:
                poll.register(0, select.POLLIN)


def _emitter(tty: bool) -> Callable[[bytes], None]:
    if tty:
        return lambda data: write_all(1, data)
    frames = Frames()

    def emit(data: bytes) -> None:
        for descriptor, run in frames.feed(data):
            write_all(descriptor, run)

    return emit


def _typed(keys: DetachFilter | None) -> tuple[bytes, bool, bool]:
    """(bytes to send, end of input, detached)."""
    try:
        data = os.read(0, STDIN_CHUNK)
    except (BlockingIOError, InterruptedError):
        return b"", False, False
    except OSError:  # EIO: the terminal went away
        return b"", True, False
    out, detached = keys.feed(data) if keys else (data, False)
    return out, not data, detached


def _send(sock: Any, pending: bytes) -> bytes:
    try:
        while pending:
            pending = pending[sock.send(pending) :]
    except BlockingIOError:
        pass
    except (BrokenPipeError, ConnectionResetError):
        return b""  # the process has closed its input: what is left has no reader
    return pending


def _half_close(sock: Any) -> None:
    import _socket

    try:
        sock.shutdown(_socket.SHUT_WR)
    except OSError:
        pass
