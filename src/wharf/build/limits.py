"""The time that a build may take."""

import threading
from collections.abc import Callable
from types import TracebackType

from wharf.build.graph import Vertex
from wharf.build.solver.solver import Progress
from wharf.errors import Unavailable


class Deadline:
    """Ends a build by its own `cancelled` event when its time is up; knows what ran then. 0 seconds: no limit."""

    def __init__(self, seconds: float, cancelled: threading.Event) -> None:
        self.event = cancelled
        self._seconds = seconds
        self._late = False
        self._running: dict[int, Vertex] = {}
        self._at = ""
        self._timer = threading.Timer(seconds, self._end) if seconds > 0 else None

    def __enter__(self) -> "Deadline":
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def watching(self, report: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """The same listener, with an eye on what runs."""

        def watched(progress: Progress) -> None:
            if progress.kind == "started":
                self._running[id(progress.vertex)] = progress.vertex
            elif progress.kind != "log":
                self._running.pop(id(progress.vertex), None)
            report(progress)

        return watched

    def check(self) -> None:
        """Raises Unavailable when it was the time that ended the build."""
        if self._late:
            raise Unavailable(f"the build took longer than {self._seconds:g} s{self._at}")

    def _end(self) -> None:
        self._late = True
        running = list(self._running.values())
        if running:
            line = f" (line {running[0].lines[0]})" if running[0].lines else ""
            self._at = f": it was at {running[0].title}{line}"
        self.event.set()
