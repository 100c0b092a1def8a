"""Hearing on the loop that a log has grown: the monitor, its only writer, rings a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable

from wharf.engine.loop import EngineLoop


class Doorbell:
    """One such pipe, the caller's no longer. `rung` is called when the log has grown, `complete` when it will not grow
    any more; both on the loop."""

    def __init__(self, loop: EngineLoop, pipe: int, rung: Callable[[], object], complete: Callable[[], object]) -> None:
        self._loop, self._pipe = loop, pipe
        self._rung, self._complete = rung, complete
        loop.call(self._listen)

    def close(self) -> None:
        """Hear no more; from any thread, as often as one likes."""
        self._loop.call(self._release)

    def _listen(self) -> None:
        if self._pipe >= 0:
            self._loop.loop.add_reader(self._pipe, self._hear)

    def _hear(self) -> None:
        try:
            complete = not os.read(self._pipe, 4096)
        except BlockingIOError:
            return
        except OSError:
            complete = True
        if complete:
            self._release()
            self._complete()
        else:
            self._rung()

    def _release(self) -> None:
        pipe, self._pipe = self._pipe, -1
        if pipe >= 0:
            self._loop.loop.remove_reader(pipe)
            os.close(pipe)
