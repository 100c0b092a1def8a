"""What happens in a build, shown: the classic text, raw JSON lines, or a live view on a terminal."""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

KINDS = ("auto", "plain", "tty", "rawjson", "quiet")
TAIL = 6
"""Lines of output that are shown of a step that runs."""
_DRAW_SECONDS = 0.08


class Plain:
    """Text as it comes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, message: dict[str, Any]) -> None:
        """One message of the stream."""
        text = message.get("stream")
        if text:
            self._out.write(text)
        elif message.get("status"):
            key = f"{message['id']}: " if message.get("id") else ""
            if not (message.get("progressDetail") or {}).get("current"):
                self._out.write(f"{key}{message['status']}\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is open."""


class RawJson:
    """BuildKit's SolveStatus, a line each, on standard error as buildx does."""

    def show(self, message: dict[str, Any]) -> None:
        """One message of the stream."""
        if "solve" in message:
            from wharf.client import jsontext

            sys.stderr.write(jsontext.dumps(message["solve"]) + "\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Nothing is open."""


class Live:
    """A line for each vertex, the last lines of what runs below it, drawn again in its place."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._order: list[str] = []
        self._known: dict[str, dict[str, Any]] = {}
        self._tails: dict[str, list[str]] = {}
        self._began: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._drawn = 0
        self._last = 0.0
        self._start = time.monotonic()

    def show(self, message: dict[str, Any]) -> None:
        """One message of the stream."""
        for vertex in (message.get("solve") or {}).get("vertexes", ()):
            self._vertex(vertex)
        for log in (message.get("solve") or {}).get("logs", ()):
            self._log(log)
        if message.get("stream"):
            self._draw(last=True)
            self._drawn = 0
            self._out.write(message["stream"])
        if time.monotonic() - self._last > _DRAW_SECONDS:
            self._draw()

    def close(self) -> None:
        """The last picture stays."""
        self._draw(last=True)

    def _vertex(self, vertex: dict[str, Any]) -> None:
        key = vertex["digest"]
        if key not in self._known:
            self._order.append(key)
        self._known[key] = vertex
        now = time.monotonic()
        if vertex.get("started"):
            self._began.setdefault(key, now)
        if vertex.get("completed"):
            self._took.setdefault(key, now - self._began.get(key, now))

    def _log(self, log: dict[str, Any]) -> None:
        from binascii import a2b_base64

        tail = self._tails.setdefault(log["vertex"], [""])
        text = a2b_base64(log["data"]).decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
        first, *rest = text.split("\n")
        tail[-1] += first
        tail += rest
        del tail[: -TAIL - 1]

    def _draw(self, last: bool = False) -> None:
        self._last = now = time.monotonic()
        try:
            size = os.get_terminal_size(self._out.fileno())
            width, height = size.columns, size.lines
        except (OSError, ValueError):
            width, height = 80, 24
        lines = self._lines(now, last)
        done = sum("completed" in vertex for vertex in self._known.values())
        head = f"[+] Building {now - self._start:.1f}s ({done}/{len(self._order)})"
        shown = [head, *(lines if last else lines[-(height - 2) :])]
        out = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        out += "".join(_plain(line)[: width - 1] + "\n" for line in shown)
        self._drawn = len(shown)
        self._out.write(out)
        self._out.flush()

    def _lines(self, now: float, last: bool) -> list[str]:
        lines = []
        for key in self._order:
            vertex = self._known[key]
            if key not in self._began and not vertex.get("cached"):
                continue
            seconds = self._took.get(key, now - self._began.get(key, now))
            mark = "CACHED" if vertex.get("cached") else "ERROR" if vertex.get("error") else "=>"
            lines.append(f" {mark} {vertex['name']}  {seconds:.1f}s")
            running = "completed" not in vertex
            if (running and not last) or vertex.get("error"):
                lines += [f" => => # {line}" for line in self._tails.get(key, ())[-TAIL:] if line]
        return lines


def _plain(text: str) -> str:
    """Without what would move the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
