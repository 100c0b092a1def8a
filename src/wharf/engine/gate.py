"""A gate that many pass side by side, until somebody closes it for a while."""

import contextlib
import threading
from collections.abc import Iterator

from wharf.errors import Unavailable


class Gate:
    """Execs start side by side, but none while their container is frozen or thawed, or held still by a commit: half
    made, it would hang. Several may close the gate; it is open when the last of them has gone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closers = 0

    @contextlib.contextmanager
    def enter(self, seconds: float = 10.0) -> Iterator[None]:
        """Pass, after waiting while it is closed. Raises Unavailable when that takes longer than `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._closers == 0, seconds):
                raise Unavailable("the container is being frozen, thawed or committed, try again")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def close(self, seconds: float = 10.0) -> Iterator[None]:
        """Let nobody pass, once those inside have left. Raises Unavailable when they do not within `seconds`."""
        with self._changed:
            self._closers += 1
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: self._inside == 0, seconds):
                    raise Unavailable("a process is being started in the container, try again")
            yield
        finally:
            with self._changed:
                self._closers -= 1
                self._changed.notify_all()
