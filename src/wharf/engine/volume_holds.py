"""Volumes of containers that are being made: until such a container is known, nothing else says that it has them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class VolumeHolds:
    """Who holds a volume either comes before its removal, which then finds the holder, or waits and finds it gone.

    Only those who want the same volume wait for one another: a removal may have to unmount something far away.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: dict[str, list[str]] = {}
        self._going: set[str] = set()

    @contextlib.contextmanager
    def by(self, container: str) -> Iterator[Callable[[str], None]]:
        """What holds a volume, by its name, for this container until the end of the `with`."""
        names: list[str] = []

        def hold(name: str) -> None:
            with self._changed:
                self._changed.wait_for(lambda: name not in self._going)
                self._holders.setdefault(name, []).append(container)
                names.append(name)

        try:
            yield hold
        finally:
            with self._changed:
                for name in names:
                    self._holders[name].remove(container)
                    if not self._holders[name]:
                        del self._holders[name]

    @contextlib.contextmanager
    def none_new(self, name: str) -> Iterator[None]:
        """Nobody begins to hold the volume meanwhile: for who asks whether it is in use and removes it."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._going)
            self._going.add(name)
        try:
            yield
        finally:
            with self._changed:
                self._going.remove(name)
                self._changed.notify_all()

    def of(self, name: str) -> list[str]:
        """Ids of the containers in the making that hold a volume."""
        with self._changed:
            return list(self._holders.get(name, ()))
