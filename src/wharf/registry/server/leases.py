"""Blobs that a client was told about a moment ago: collecting leaves them alone until the push has had its time.

A client asks for a blob, hears that it is there, skips it, and names it in a manifest later. Between the two nothing
but a lease protects the blob. Leases live in memory: after a start everything is leased for one whole grace.

The lock of the leases is taken before a transaction, never inside one: a lease that is asked for while a link is
being collected comes after the commit, and whoever looks for the link after that finds it gone.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

from wharf.spec.digest import Digest

MAX_LEASES = 200_000


class Leases:
    """Remembers when a blob of a repository was last spoken of; `grace` in seconds."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._born = time.monotonic()
        self._lock = threading.Lock()
        self._touched: dict[tuple[str, Digest], float] = {}
        self._floor = self._born

    def touch(self, repository: str, digest: Digest) -> None:
        """The blob was pushed, mounted, or a client was told that it is there."""
        with self._lock:
            if len(self._touched) >= MAX_LEASES:
                self._forget()
            self._touched[(repository, digest)] = time.monotonic()

    @contextlib.contextmanager
    def unheld(self, repository: str, digest: Digest) -> Iterator[bool]:
        """Whether collecting may take the blob; inside, nobody gets a lease."""
        with self._lock:
            yield time.monotonic() - self._touched.get((repository, digest), self._floor) >= self.grace

    def _forget(self) -> None:
        """Drop what has run out; when nothing has, everything counts as touched now, which is safe."""
        now = time.monotonic()
        self._touched = {key: at for key, at in self._touched.items() if now - at < self.grace}
        if len(self._touched) >= MAX_LEASES:
            self._touched.clear()
            self._floor = now
