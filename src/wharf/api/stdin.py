"""Writes to a monitor's stream without owning it: a process that ends with unread input must not cost its output.

A transport that fails to write closes for reading too, so stdin goes through a duplicate of the socket.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

HIGH_WATER = 1 << 20


class StdinWriter:
    """Non-blocking writes in order; `flow(go)` asks the client's side to pause and to go on."""

    def __init__(self, stream: socket.socket, flow: Callable[[bool], object]) -> None:
        """Takes over `stream`, which does not block."""
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._flow = flow
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self._eof = False
        self._closed = False

    def write(self, data: bytes) -> None:
        """Send, or keep what does not fit yet. Input for a process that is gone is dropped."""
        if self._closed or self._eof or not data:
            return
        self._waiting.append(memoryview(data))
        self._size += len(data)
        if len(self._waiting) == 1:
            self._send()
        if self._size > HIGH_WATER:
            self._flow(False)

    def end(self) -> None:
        """End of input, behind what was written."""
        self._eof = True
        if not self._waiting:
            self._shut()

    def close(self) -> None:
        """Drop what waits."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_writer(self._stream.fileno())
        self._stream.close()
        self._waiting.clear()
        self._flow(True)

    def _send(self) -> None:
        while self._waiting:
            part = self._waiting[0]
            try:
                sent = self._stream.send(part)
            except BlockingIOError:
                self._loop.add_writer(self._stream.fileno(), self._continue)
                return
            except OSError:
                self.close()
                return
            self._size -= sent
            if sent < len(part):
                self._waiting[0] = part[sent:]
            else:
                self._waiting.popleft()

    def _continue(self) -> None:
        self._loop.remove_writer(self._stream.fileno())
        full = self._size > HIGH_WATER
        self._send()
        if self._closed:
            return
        if full and self._size <= HIGH_WATER:
            self._flow(True)
        if self._eof and not self._waiting:
            self._shut()

    def _shut(self) -> None:
        if self._closed:
            return
        try:
            self._stream.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        self.close()
