"""What a pull tells while it runs: Docker's JSON messages, a layer's line known by the first digits of its digest."""

import threading
import time
from collections.abc import Callable
from typing import Any

from wharf.spec.digest import Digest

Emit = Callable[[dict[str, Any]], None]
INTERVAL = 0.1
"""Seconds between two figures of one layer."""
_BAR = 50
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


class LayerLine:
    """The line of one layer; used by the thread that downloads it, then by the one that unpacks it."""

    def __init__(self, emit: Emit, digest: Digest, total: int) -> None:
        self._emit = emit
        self._id = digest.hex[:12]
        self._total = total
        self._next = 0.0
        self._lock = threading.Lock()

    def say(self, status: str) -> None:
        """A status without figures."""
        self._emit({"status": status, "progressDetail": {}, "id": self._id})

    def count(self, status: str, current: int) -> None:
        """A status with figures, not more often than people can read."""
        now = time.monotonic()
        with self._lock:
            if now < self._next and current < self._total:
                return
            self._next = now + INTERVAL
        detail = {"current": current, "total": self._total}
        self._emit({"status": status, "progressDetail": detail, "progress": bar(current, self._total), "id": self._id})


def bar(current: int, total: int) -> str:
    """`[=====>     ]  1.2MB/3.4MB`, as Docker draws it for clients that do not draw."""
    if total <= 0 or current > total:
        return f"{size_text(current):>8}"
    done = min(current * 100 // total // 2, _BAR)
    return f"[{'=' * done}>{' ' * (_BAR - done)}] {size_text(current):>8}/{size_text(total)}"


def size_text(size: float) -> str:
    """Bytes in thousands with four digits (go-units HumanSize)."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size /= 1000
        unit += 1
    return f"{size:.4g}{_UNITS[unit]}"
