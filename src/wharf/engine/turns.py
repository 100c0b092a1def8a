"""Work in a pool that never runs twice at once, however often it is asked for.

IDLE ── ask ──> ON ── ask ──> AGAIN        the end of a turn: ON -> IDLE, AGAIN -> ON, LAST -> OVER
  └── stop ──> OVER     └─ stop ─┴──> LAST
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from concurrent.futures import Executor


class Stage(enum.Enum):
    """Where the work is."""

    IDLE = enum.auto()
    ON = enum.auto()
    AGAIN = enum.auto()
    LAST = enum.auto()
    OVER = enum.auto()


_ASKED = {Stage.IDLE: Stage.ON, Stage.ON: Stage.AGAIN}
_STOPPED = {Stage.IDLE: Stage.OVER, Stage.ON: Stage.LAST, Stage.AGAIN: Stage.LAST}
_ENDED = {Stage.ON: Stage.IDLE, Stage.AGAIN: Stage.ON, Stage.LAST: Stage.OVER}


class Turns:
    """Of one piece of work. All methods from any thread, from within the work too."""

    def __init__(self, pool: Executor, work: Callable[[], bool], last: Callable[[], object]) -> None:
        """`work` says whether there is more to do at once, after others had their turn; it raises nothing. `last` is
        called once, after `stop`, when no turn is on any more."""
        self._pool, self._work, self._last = pool, work, last
        self._lock = threading.Lock()
        self._stage = Stage.IDLE

    @property
    def stopped(self) -> bool:
        """Whether there will be no further turn; the present one may still be on."""
        return self._stage in (Stage.LAST, Stage.OVER)

    def ask(self) -> None:
        """Have a turn that begins after now."""
        before, _ = self._move(_ASKED)
        if before is Stage.IDLE:
            self._begin()

    def stop(self) -> None:
        """No further turn."""
        before, _ = self._move(_STOPPED)
        if before is Stage.IDLE:
            self._last()

    def _move(self, table: dict[Stage, Stage]) -> tuple[Stage, Stage]:
        with self._lock:
            before = self._stage
            self._stage = table.get(before, before)
            return before, self._stage

    def _begin(self) -> None:
        try:
            self._pool.submit(self._turn)
        except RuntimeError:  # the pool is closing: nothing runs any more
            self._end()

    def _turn(self) -> None:
        if self._work():
            self._move(_ASKED)
        self._end()

    def _end(self) -> None:
        _, now = self._move(_ENDED)
        if now is Stage.ON:
            self._begin()
        elif now is Stage.OVER:
            self._last()
