"""The monitor's copying: container output to log and attached clients, clients' input to the container.

One poll loop, nothing blocks but the log's disk. A client that lags by more than LAG_LIMIT makes the monitor stop
reading, so that the container waits, as it does under Docker.
"""

import _socket
import os
import select
import struct
import time
from collections import deque
from collections.abc import Callable

from wharf.kernel.process import release_memory
from wharf.runtime.jsonlog import LineSplitter
from wharf.runtime.logs import Log

READ_SIZE = 256 << 10
SWELLING = 16 << 10
"""A read larger than this leaves buffers behind that are worth returning."""
LAG_LIMIT = 1 << 20
INPUT_LIMIT = 64 << 10
LINGER = 10.0  # seconds without progress before a client that does not read is given up after the end
_READ = select.POLLIN | select.POLLHUP | select.POLLERR
_HEADER = struct.Struct(">B3xI")
_NAMES = {1: b"stdout", 2: b"stderr"}


class Poller:
    """Which descriptor calls which function."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._calls: dict[int, Callable[[int], None]] = {}

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        """Call `call(events)` when the descriptor is ready; replaces an earlier watch."""
        self._poll.register(fd, events)
        self._calls[fd] = call

    def forget(self, fd: int) -> None:
        """Stop watching; unknown descriptors are fine."""
        if self._calls.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def once(self, timeout_ms: int | None = None) -> bool:
        """Wait and call; whether anything was ready."""
        ready = self._poll.poll(timeout_ms)
        for fd, events in ready:
            call = self._calls.get(fd)
            if call is not None:
                call(events)
        return bool(ready)


class Client:
    """One attached stream."""

    __slots__ = ("framed", "pending", "reading", "size", "sock", "streams", "takes_input")

    def __init__(self, sock: _socket.socket, takes_input: bool, streams: frozenset[int], framed: bool) -> None:
        sock.setblocking(False)
        self.sock, self.takes_input, self.streams = sock, takes_input, streams
        self.framed = framed
        self.pending: deque[memoryview] = deque()
        self.size = 0
        self.reading = True


class Pump:
    """All streams of one process. `framed` puts Docker's 8-byte header before each piece (no terminal)."""

    def __init__(self, poller: Poller, log: Log | None, framed: bool) -> None:
        self._poller, self._log, self._framed = poller, log, framed
        self._outputs: dict[int, tuple[int, LineSplitter]] = {}
        self._clients: list[Client] = []
        self._stdin = -1
        self._input: deque[bytes] = deque()
        self._input_size = 0
        self._input_ends = False
        self._close_on_end = False
        self._held_back = False
        self._is_terminal = False
        self._buffer = READ_SIZE
        self._doorbells: list[int] = []
        self.swollen = False

    def add_output(self, fd: int, number: int) -> None:
        """Read stream 1 or 2 from `fd`, which becomes the pump's."""
        os.set_blocking(fd, False)
        self._outputs[fd] = (number, LineSplitter())
        self._poller.watch(fd, _READ, lambda _events: self._read(fd))

    def set_input(self, fd: int, close_on_end: bool) -> None:
        """Write input to the pipe `fd`; `close_on_end`: the first client whose input ends closes it."""
        os.set_blocking(fd, False)
        self._stdin, self._close_on_end = fd, close_on_end
        self._flush_input()

    def set_terminal(self, master: int) -> None:
        """Both directions over one terminal."""
        self._is_terminal = True
        self.add_output(master, 1)
        self._stdin = master
        self._flush_input()

    def shrink(self) -> None:
        """Give the memory of large reads back: a monitor may wait for months after one burst."""
        release_memory()
        self.swollen = False

    @property
    def drained(self) -> bool:
        """Whether every output has ended."""
        return not self._outputs

    # -- output

    def _read(self, fd: int) -> None:
        number, splitter = self._outputs[fd]
        try:
            data = os.read(fd, self._buffer)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last slave of a terminal was closed
            data = b""
        if not data:
            self._end_output(fd)
            return
        if len(data) > SWELLING:
            self.swollen = True
        if self._log is not None:
            runs = splitter.feed(data)
            if runs:
                self._log.write(_NAMES[number], runs, time.time_ns())
                self._ring()
                if self._log.file.stuck:
                    self._hold_back()
        if self._clients:
            self._spread(number, data)

    def _end_output(self, fd: int) -> None:
        number, splitter = self._outputs.pop(fd)
        self._poller.forget(fd)
        rest = splitter.finish()
        if rest and self._log is not None:
            self._log.write(_NAMES[number], rest, time.time_ns())
            self._ring()
        if fd == self._stdin:
            self._stdin = -1
        os.close(fd)

    def end_outputs(self) -> None:
        """Take what is there now and stop reading: somebody else still holds the pipes."""
        for fd in list(self._outputs):
            while fd in self._outputs and select.select([fd], [], [], 0)[0]:
                self._read(fd)
            if fd in self._outputs:
                self._end_output(fd)

    def _spread(self, number: int, data: bytes) -> None:
        framed = b""
        for client in list(self._clients):
            if number in client.streams:
                if client.framed and not framed:
                    framed = _HEADER.pack(number, len(data)) + data
                self._push(client, framed if client.framed else data)
        self._hold_back()

    def _push(self, client: Client, piece: bytes) -> None:
        view = memoryview(piece)
        if not client.pending:
            try:
                view = view[client.sock.send(view, _socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                pass
            except OSError:
                self._drop(client)
                return
        if view:
            client.pending.append(view)
            client.size += len(view)
            self._watch(client)

    def _hold_back(self) -> None:
        """Stop or go on reading the container, by how far the slowest client lags, and whether the log is stuck."""
        lag = max((client.size for client in self._clients), default=0)
        hold = lag > LAG_LIMIT or (self._held_back and lag > LAG_LIMIT // 2)
        hold = hold or (self._log is not None and self._log.file.stuck)
        if hold == self._held_back:
            return
        self._held_back = hold
        for fd in self._outputs:
            if hold:
                self._poller.forget(fd)
            else:
                self._poller.watch(fd, _READ, lambda _events, fd=fd: self._read(fd))  # type: ignore[misc]

    # -- readers of the log

    def shipped(self, until_ns: int) -> None:
        """What the log had up to that time has been sent elsewhere."""
        if self._log is not None:
            self._log.file.shipped(until_ns)
            self._hold_back()

    def add_doorbell(self, fd: int) -> None:
        """Write a byte to the pipe `fd` now and whenever the log has grown, and close it after the last record.

        Now, because the log may have grown since whoever sent it has read it.
        """
        os.set_blocking(fd, False)
        self._doorbells.append(fd)
        self._ring_one(fd)

    def _ring(self) -> None:
        for fd in list(self._doorbells):
            self._ring_one(fd)

    def _ring_one(self, fd: int) -> None:
        try:
            os.write(fd, b"!")
        except BlockingIOError:  # rung and not yet heard
            return
        except OSError:
            self._doorbells.remove(fd)
            os.close(fd)

    def close_doorbells(self) -> None:
        """The log is complete."""
        for fd in self._doorbells:
            os.close(fd)
        self._doorbells.clear()

    # -- clients

    def attach(
        self, sock: _socket.socket, takes_input: bool, streams: frozenset[int], framed: bool | None = None
    ) -> None:
        """Take a new client; the socket becomes the pump's. `framed`: not as the terminal would have it."""
        client = Client(sock, takes_input, streams, self._framed if framed is None else framed)
        self._clients.append(client)
        self._watch(client)

    def _watch(self, client: Client) -> None:
        events = select.POLLOUT if client.pending else 0
        if client.reading and self._input_size < INPUT_LIMIT:
            events |= select.POLLIN | select.POLLRDHUP
        fd = client.sock.fileno()
        self._poller.watch(fd, events, lambda ready: self._serve(client, ready))

    def _serve(self, client: Client, events: int) -> None:
        if events & select.POLLOUT:
            self._flush(client)
        if client.sock.fileno() >= 0 and events & (select.POLLIN | select.POLLHUP | select.POLLRDHUP | select.POLLERR):
            self._take(client, events)

    def _flush(self, client: Client) -> None:
        try:
            while client.pending:
                sent = client.sock.send(client.pending[0], _socket.MSG_NOSIGNAL)
                client.size -= sent
                if sent == len(client.pending[0]):
                    client.pending.popleft()
                else:
                    client.pending[0] = client.pending[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._drop(client)
            return
        self._watch(client)
        self._hold_back()

    def _take(self, client: Client, events: int) -> None:
        if not client.reading:
            if events & (select.POLLHUP | select.POLLERR):
                self._drop(client)
            return
        try:
            data = client.sock.recv(INPUT_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data and client.takes_input:
            self._input.append(data)
            self._input_size += len(data)
            self._flush_input()
            self._watch(client)
        elif not data:
            client.reading = False
            if client.takes_input and self._close_on_end and not self._is_terminal:
                self._input_ends = True
                self._flush_input()
            self._watch(client)

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
        self._poller.forget(client.sock.fileno())
        client.sock.close()
        if client.takes_input and client.reading and self._close_on_end and not self._is_terminal:
            self._input_ends = True
            self._flush_input()
        self._hold_back()

    # -- input

    def _flush_input(self) -> None:
        """Write what clients sent; what does not fit waits for the pipe, and the clients wait with it."""
        if self._stdin < 0:
            return
        was_full = self._input_size >= INPUT_LIMIT
        try:
            while self._input:
                sent = os.write(self._stdin, self._input[0])
                self._input_size -= sent
                if sent == len(self._input[0]):
                    self._input.popleft()
                else:
                    self._input[0] = self._input[0][sent:]
        except BlockingIOError:
            pass
        except OSError:  # the container closed its end
            self._input.clear()
            self._input_size = 0
            self._input_ends = not self._is_terminal
        self._after_input(was_full)

    def _after_input(self, was_full: bool) -> None:
        if not self._input and self._input_ends:
            self._poller.forget(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
        elif self._is_terminal:
            self._watch_terminal()
        elif self._input:
            self._poller.watch(self._stdin, select.POLLOUT, lambda _events: self._flush_input())
        else:
            self._poller.forget(self._stdin)
        if was_full and self._input_size < INPUT_LIMIT:
            for client in self._clients:
                self._watch(client)

    def _watch_terminal(self) -> None:
        master = self._stdin
        events = (0 if self._held_back else _READ) | (select.POLLOUT if self._input else 0)

        def ready(now: int) -> None:
            if now & select.POLLOUT:
                self._flush_input()
            if now & _READ and master in self._outputs:
                self._read(master)

        self._poller.watch(master, events, ready)

    # -- the end

    def finish(self) -> None:
        """Send what clients have not read yet, for a bounded time without progress, and close everything."""
        last, left = time.monotonic(), -1
        while any(client.pending for client in self._clients):
            now_left = sum(client.size for client in self._clients)
            if now_left != left:
                last, left = time.monotonic(), now_left
            elif time.monotonic() - last > LINGER:
                break
            self._poller.once(1000)
        for client in self._clients:
            self._poller.forget(client.sock.fileno())
            client.sock.close()
        self._clients.clear()
