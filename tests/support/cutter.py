"""A relay to a registry that cuts connections on purpose: after so many bytes of one direction, so many times."""

import contextlib
import re
import socket
import threading
from types import TracebackType

_RANGES = re.compile(rb"(?im)^(?:content-)?range: [^\r\n]+")


class Cutter:
    """`with Cutter(port) as relay`: what goes to `relay.host` goes to the port of loopback.

    `down` and `up` are bytes of one connection after which it is cut, `cuts` how often in all.
    """

    def __init__(self, port: int, *, down: int = 0, up: int = 0, cuts: int = 1) -> None:
        self._port, self._most, self._cuts = port, {"down": down, "up": up}, cuts
        self.ranges: list[str] = []
        """Range and Content-Range of requests, as they came."""
        self.passed = {"down": 0, "up": 0}
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for source, target, way in ((near, far, "up"), (far, near, "down")):
                thread = threading.Thread(target=self._pump, args=(source, target, way), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        here = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                here += len(data)
                with self._lock:
                    self.passed[way] += len(data)
                    if way == "up":
                        self.ranges += [line.decode() for line in _RANGES.findall(data)]
                    cut = 0 < self._most[way] < here and self._cuts > 0
                    self._cuts -= cut
                target.sendall(data)
                if cut:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        if way == "up":
            return
        for end in (source, target):
            end.close()

    def __enter__(self) -> "Cutter":
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
