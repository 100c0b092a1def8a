"""Receivers of logs in a daemon's network namespace, and at paths; they only keep what comes."""

import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType

DEADLINE = 20.0


def in_namespace(holder: int, make: Callable[[], socket.socket]) -> socket.socket:
    """A socket made in the network namespace of a process: a thread goes there, makes it and ends."""
    made: list[socket.socket] = []

    def work() -> None:
        fd = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY)
        import ctypes

        assert ctypes.CDLL(None).setns(fd, 0x40000000) == 0
        os.close(fd)
        made.append(make())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


class Receiver:
    """Takes datagrams or streams in a thread until it is closed. `paused` stops it from reading."""

    def __init__(
        self, sock: socket.socket, wrap: Callable[[socket.socket], socket.socket | None] | None = None
    ) -> None:
        """`wrap` makes a stream of each connection, or None when it comes to nothing."""
        self.sock = sock
        self.datagrams: list[bytes] = []
        self.data = b""
        self.answer: Callable[[bytes], bytes] = lambda data: b""
        self.paused = threading.Event()
        self.changed = threading.Condition()
        self._wrap = wrap
        self._stop, self._stopper = os.pipe()
        self._streams: list[socket.socket] = []
        if sock.type == socket.SOCK_STREAM:
            sock.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            watched: list[socket.socket] = [] if self.paused.is_set() else [self.sock, *self._streams]
            fds: list[socket.socket | int] = [*watched, self._stop]
            ready = select.select(fds, [], [], 0.05 if self.paused.is_set() else None)[0]
            if self._stop in ready:
                return
            for item in watched:
                if item in ready:
                    self._take(item)

    def _take(self, item: socket.socket) -> None:
        if item is not self.sock:
            data = item.recv(65536)
            while isinstance(item, ssl.SSLSocket) and item.pending():  # read from the kernel already
                data += item.recv(65536)
            if not data:
                self._streams.remove(item)
                item.close()
            elif reply := self.answer(data):
                item.sendall(reply)
            with self.changed:
                self.data += data
                self.changed.notify_all()
        elif item.type == socket.SOCK_STREAM:
            stream, _ = item.accept()
            taken = self._wrap(stream) if self._wrap else stream
            if taken is not None:
                self._streams.append(taken)
        else:
            data, ancillary, _, _ = item.recvmsg(1 << 18, 64)
            for _level, _kind, fds in ancillary:
                (fd,) = struct.unpack("i", fds[:4])
                data = os.pread(fd, 1 << 24, 0)
                os.close(fd)
            with self.changed:
                self.datagrams.append(data)
                self.changed.notify_all()

    def until(self, done: Callable[["Receiver"], bool]) -> None:
        """Wait until what came satisfies `done`."""
        deadline = time.monotonic() + DEADLINE
        with self.changed:
            while not done(self):
                left = deadline - time.monotonic()
                assert left > 0, (self.datagrams[-3:], self.data[-500:])
                self.changed.wait(left)

    def close(self) -> None:
        """End it; its streams are cut."""
        os.write(self._stopper, b"!")
        self._thread.join()
        for item in (self.sock, *self._streams):
            item.close()
        os.close(self._stop)
        os.close(self._stopper)


def udp() -> socket.socket:
    """A bound UDP socket of 127.0.0.1."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def tcp(port: int = 0) -> Callable[[], socket.socket]:
    """Makes a bound TCP socket of 127.0.0.1."""

    def make() -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    return make


def unix(path: str, kind: int) -> socket.socket:
    """A bound socket at a path."""
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path)
    return sock
