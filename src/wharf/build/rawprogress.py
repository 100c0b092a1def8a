"""What happens in a build, a line for each change: BuildKit's SolveStatus in JSON, for views and tools.

{"solve": {"vertexes": [{"digest", "inputs", "name", "started", "completed", "cached", "error"}],
           "logs": [{"vertex", "stream", "data" (base64), "timestamp"}]}}
"""

import base64
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from wharf.build.graph import Vertex, walk
from wharf.build.lower import Target
from wharf.build.solver.solver import Progress


class RawProgress:
    """Takes progress from many threads. The first line has every vertex of the graph, inputs first."""

    def __init__(self, targets: Sequence[Target], emit: Callable[[dict[str, Any]], None]) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}
        self._started: dict[int, str] = {}
        vertexes = [vertex for target in targets if target.vertex is not None for vertex in walk(target.vertex)]
        for number, vertex in enumerate(vertexes):
            # Two vertices may do the same: each is told of by itself.
            self._names.setdefault(id(vertex), f"{vertex.digest}-{number}")
        emit({"solve": {"vertexes": [self._vertex(vertex) for vertex in dict.fromkeys(vertexes)]}})

    def __call__(self, progress: Progress) -> None:
        """One thing that happened."""
        key, now = id(progress.vertex), _now()
        with self._lock:
            if progress.kind == "log":
                data = base64.b64encode(progress.data).decode()
                log = {"vertex": self._names.get(key, ""), "stream": progress.stream, "data": data, "timestamp": now}
                self._emit({"solve": {"logs": [log]}})
                return
            started = self._started.setdefault(key, now)
            found = {**self._vertex(progress.vertex), "started": started}
            if progress.kind != "started":
                found["completed"] = now
            if progress.kind == "cached":
                found["cached"] = True
            if progress.kind == "error":
                found["error"] = progress.message
            self._emit({"solve": {"vertexes": [found]}})

    def _vertex(self, vertex: Vertex) -> dict[str, Any]:
        inputs = [self._names[id(item)] for item in vertex.inputs if item is not None and id(item) in self._names]
        found: dict[str, Any] = {"digest": self._names.get(id(vertex), str(vertex.digest)), "name": vertex.title}
        return {**found, "inputs": inputs} if inputs else found


def _now() -> str:
    seconds = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"
