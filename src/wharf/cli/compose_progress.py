"""What happens to the things of a project: a table that changes on a terminal, lines elsewhere, JSON for programs."""

from __future__ import annotations

import os
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_DONE = frozenset(
    ("Created", "Started", "Running", "Healthy", "Exited", "Recreated", "Stopped", "Removed", "Pulled", "Built",
     "Pushed", "Restarted", "Paused", "Unpaused", "Killed")
)  # fmt: skip
_MARKS = {"done": ("✔", "\x1b[32m"), "error": ("✘", "\x1b[31m"), "working": ("⠿", "\x1b[34m")}


class Progress:
    """Takes (subject, status); shows it at once as the mode wants. May be told by several threads."""

    def __init__(self, mode: str, out: TextIO | None = None) -> None:
        self._mode = mode
        self._out = out or sys.stderr
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[str, float, float]] = {}
        self._drawn = 0

    def __call__(self, subject: str, status: str) -> None:
        """Something has happened to a thing."""
        with self._lock:
            if self._mode == "quiet":
                return
            if self._mode == "json":
                self._json(subject, status)
            elif self._mode == "tty":
                self._table(subject, status)
            else:
                self._out.write(f" {subject}  {status}\n")
            self._out.flush()

    def _json(self, subject: str, status: str) -> None:
        from wharf.client import jsontext

        kind = {"done": "Done", "error": "Error", "working": "Working"}[_kind(status)]
        self._out.write(jsontext.dumps({"id": subject, "status": kind, "text": status}) + "\n")

    def _table(self, subject: str, status: str) -> None:
        now = time.monotonic()
        began = self._rows.get(subject, ("", now, now))[1]
        self._rows[subject] = (status, began, now)
        self._draw()

    def _draw(self) -> None:
        """All rows again, from the first row's line; only the last ones that fit the terminal."""
        try:
            columns, lines = os.get_terminal_size(self._out.fileno())
        except OSError:
            columns, lines = 80, 24
        shown = list(self._rows.items())[-max(1, lines - 2) :]
        done = sum(_kind(status) == "done" for status, _, _ in self._rows.values())
        text = [f"\x1b[{self._drawn}A" if self._drawn else "", f"[+] Running {done}/{len(self._rows)}\x1b[K\n"]
        width = max(len(subject) for subject, _ in shown)
        for subject, (status, began, last) in shown:
            mark, color = _MARKS[_kind(status)]
            line = f" {subject.ljust(width)}  {status}"[: max(10, columns - 12)]
            seconds = f"{last - began:.1f}s"
            text.append(f" {color}{mark}\x1b[0m{line.ljust(max(0, columns - 12))} {seconds}\x1b[K\n")
        self._drawn = len(shown) + 1
        self._out.write("".join(text))


def _kind(status: str) -> str:
    if status.startswith("Error"):
        return "error"
    return "done" if status in _DONE or status.startswith(("Skipped", "Warning", "Resource is still")) else "working"


def mode_of(wanted: str, ansi: str) -> str:
    """The mode for what was asked: `tty` only where standard error is a terminal."""
    if wanted in ("plain", "json", "quiet", "tty"):
        return wanted
    if wanted == "none":
        return "quiet"
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return "tty" if (ansi == "always" or terminal) and ansi != "never" else "plain"
