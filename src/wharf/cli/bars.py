"""Progress on a terminal: a line for each layer, drawn again in its place."""

from __future__ import annotations

import os
import sys

from wharf.cli import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_WIDTH = 30


class Bars:
    """Draws the messages of a stream; the lines stay when it ends."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        try:
            self._columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            self._columns = 80

    def show(self, messages: Iterable[dict[str, Any]]) -> None:
        """Every message in its place."""
        for message in messages:
            self._one(message)
            sys.stdout.flush()

    def _one(self, message: dict[str, Any]) -> None:
        key = message.get("id", "")
        text = self._text(message)
        if not key or not isinstance(message.get("progressDetail"), dict):
            self._rows.clear()  # what comes before a plain line stays where it is
            sys.stdout.write(text + "\n")
            return
        if key not in self._rows:
            self._rows[key] = len(self._rows)
            sys.stdout.write(text + "\n")
            return
        up = len(self._rows) - self._rows[key]
        sys.stdout.write(f"\x1b[{up}A\x1b[2K\r{text}\x1b[{up}B\r")

    def _text(self, message: dict[str, Any]) -> str:
        if message.get("stream"):
            return str(message["stream"]).rstrip("\n")
        key, status = message.get("id", ""), message.get("status", "")
        text = f"{key}: {status}" if key else str(status)
        detail = message.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        if current:
            size = units.human_size(current, 4) + (f"/{units.human_size(total, 4)}" if total > 0 else "")
            done = min(_WIDTH * current // total, _WIDTH) if total > 0 else 0
            bar = f" [{'=' * done}>{' ' * (_WIDTH - done)}]" if total > 0 and self._columns > 79 else ""
            text += f"{bar} {size}"
        return text[: self._columns - 1]
