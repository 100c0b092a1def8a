"""What happens in a build, as the first Docker builder told it: `Step 2/5 : RUN …`, output, ` ---> id`.

Stages run side by side, lines do not: each step's are held until all before it have been told.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from wharf.build.graph import ImageSource, Vertex
from wharf.build.lower import Target
from wharf.build.solver.solver import Progress

MAX_HELD = 1 << 20
"""Bytes of output of one step that wait for the steps before it; what is beyond is dropped, and said so."""

STDERR = 2
_RED = "\x1b[91m{}\x1b[0m"
"""Around what a step writes to standard error, as Docker has it."""


class ClassicProgress:
    """Takes progress from many threads, gives objects of Docker's JSON stream in the order of the file."""

    def __init__(self, targets: Sequence[Target], emit: Callable[[dict[str, Any]], None]) -> None:
        self._trace = [item for target in targets for item in target.trace]
        self._steps = [at for at, (code, _) in enumerate(self._trace) if code and code[0] != "#"]
        self._first = next((at for at, (code, _) in enumerate(self._trace) if code[:4].upper() == "FROM"), 0)
        self._emit = emit
        self._lock = threading.Lock()
        self._at = 0
        self._announced = -1
        self._held: dict[int, list[str]] = {}
        self._size: dict[int, int] = {}
        self._ended: dict[int, str] = {}
        self._begun: set[int] = set()
        self._cached: set[int] = set()
        with self._lock:
            self._advance()

    def __call__(self, progress: Progress) -> None:
        key = id(progress.vertex)
        with self._lock:
            if progress.kind == "log":
                text = progress.data.decode("utf-8", "replace")
                self._hold(key, _RED.format(text) if progress.stream == STDERR else text)
            elif progress.kind == "started":
                self._begun.add(key)
            elif progress.kind in ("done", "cached"):
                if progress.kind == "cached":
                    self._cached.add(key)
                cached = " ---> Using cache\n" if progress.kind == "cached" else ""
                self._ended[key] = f"{cached} ---> {_shown(progress.vertex)}\n"
            self._advance()

    def _hold(self, key: int, text: str) -> None:
        size = self._size.get(key, 0) + len(text)
        if size > MAX_HELD:
            if self._size.get(key, 0) <= MAX_HELD:
                self._held.setdefault(key, []).append("\n[output clipped]\n")
            self._size[key] = size
            return
        self._size[key] = size
        self._held.setdefault(key, []).append(text)

    def _advance(self) -> None:
        while self._at < len(self._trace):
            code, vertex = self._trace[self._at]
            if self._announced < self._at:
                self._announced = self._at
                if code[:1] == "#":
                    self._say(f"{code}\n")
                elif code:
                    self._say(f"Step {bisect_left(self._steps, self._at) + 1}/{len(self._steps)} : {code}\n")
            if vertex is not None:
                for text in self._held.pop(id(vertex), ()):
                    self._say(text)
                self._size.pop(id(vertex), None)
                if id(vertex) not in self._ended:
                    return
                self._say(self._ended[id(vertex)])
            else:
                cached = self._stands(self._at)
                if cached is None:
                    return
                if cached:
                    self._say(" ---> Using cache\n")
            self._at += 1

    def _stands(self, at: int) -> bool | None:
        """Whether an instruction without work of its own (ENV, LABEL) changes nothing, as the next one's work tells:
        it is part of its key. None: not known yet."""
        if at < self._first or self._trace[at][0][:1] == "#":
            return False
        following = next((vertex for _, vertex in self._trace[at + 1 :] if vertex is not None), None)
        if following is None or isinstance(following.op, ImageSource):
            before = next((vertex for _, vertex in reversed(self._trace[:at]) if vertex is not None), None)
            return before is not None and id(before) in self._cached and not isinstance(before.op, ImageSource)
        if id(following) in self._ended:
            return id(following) in self._cached
        return False if id(following) in self._begun else None

    def _say(self, text: str) -> None:
        self._emit({"stream": text})


def _shown(vertex: Vertex) -> str:
    if isinstance(vertex.op, ImageSource):
        return vertex.op.image_id.partition(":")[2][:12]
    return vertex.digest.hex[:12]
