"""Answers that come too slowly, or not whole: a server that sends a byte now and then holds nobody for ever.

A silence ends by the socket's own timeout. Beside that, whoever is waited for must bring MIN_BYTES (or the end) in each
window of waiting; only the time spent waiting counts, so a reader that takes its time costs nobody the connection.
"""

import http.client
import io
import time
from typing import Any

MIN_BYTES = 16 << 10
WINDOWS = 2
"""A window is so many times the silence that is borne."""


class PacedResponse(http.client.HTTPResponse):
    """`HTTPResponse` over a socket with a timeout, for its head and its body."""

    def __init__(self, sock: Any, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self._paced = _Paced(sock.makefile("rb", buffering=0), WINDOWS * (sock.gettimeout() or 1e9))
        self.fp = io.BufferedReader(self._paced, 64 << 10)

    def begin(self) -> None:
        """Read the head; raises HTTPException when it is cut short: the base class takes what came for all of it."""
        self._paced.in_head = True
        super().begin()
        self._paced.in_head = False

    @property
    def failure(self) -> OSError | None:
        """Why the body ended early, where it was not the server's own end."""
        return self._paced.failure


class _Paced(io.RawIOBase):
    """A failure in the body is an end, with what came before it: a buffered reader would lose that with an error."""

    def __init__(self, raw: Any, window: float) -> None:
        self._raw, self._window = raw, window
        self._waited, self._got = 0.0, 0
        self.in_head = False
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        try:
            size = self._wait(buffer)
        except OSError as error:
            if self.in_head:
                raise
            self.failure = error
            return 0
        if not size and self.in_head:
            raise http.client.HTTPException("EOF")
        return size

    def _wait(self, buffer: Any) -> int:
        started = time.monotonic()
        size = int(self._raw.readinto(buffer) or 0)
        self._waited += time.monotonic() - started
        self._got += size
        if self._waited > self._window:
            if size and self._got < MIN_BYTES:
                raise TimeoutError(f"only {self._got} bytes came in {self._waited:.0f} s")
            self._waited, self._got = 0.0, 0
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
