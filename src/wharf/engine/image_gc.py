"""Images of long-unused runs go by themselves: a prune by age or size, again and again. Off unless it is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.engine.image_prune import prune_images
from wharf.errors import Conflict, Invalid, WharfError
from wharf.spec.quantities import parse_duration, parse_size

if TYPE_CHECKING:
    from wharf.engine.engine import Engine
    from wharf.engine.loop import Timer

DEFAULT_INTERVAL = 3600.0
MIN_INTERVAL = 1.0
"""Seconds."""
_BY = ("max-size", "unused-for")

log = logging.getLogger("wharf.engine")


@dataclass(frozen=True, slots=True)
class ImageGcRule:
    """What goes, as filters of a prune, and how many seconds lie between two rounds."""

    filters: tuple[tuple[str, str], ...]
    interval: float = DEFAULT_INTERVAL


def parse_image_gc(given: Mapping[str, str]) -> ImageGcRule | None:
    """`{"max-size": "20g", "unused-for": "720h", "interval": "1h"}`; None for {}. Raises Invalid."""
    if not given:
        return None
    if unknown := sorted(set(given) - {*_BY, "interval"}):
        raise Invalid(f"image-gc: {unknown[0][:50]} is none of max-size, unused-for and interval")
    interval = parse_duration(given["interval"]) / 1e9 if "interval" in given else DEFAULT_INTERVAL
    if interval < MIN_INTERVAL:
        raise Invalid(f"image-gc: the interval must be {MIN_INTERVAL:.0f}s at least")
    if "max-size" in given and parse_size(given["max-size"]) < 0:
        raise Invalid(f"image-gc: invalid size: {given['max-size'][:50]!r}")
    if "unused-for" in given and parse_duration(given["unused-for"]) < 0:
        raise Invalid(f"image-gc: invalid duration: {given['unused-for'][:50]!r}")
    filters = tuple((name, given[name]) for name in _BY if name in given)
    if not filters:
        raise Invalid("image-gc: max-size or unused-for must say what goes")
    return ImageGcRule(filters, interval)


class ImageGc:
    """The timer of an engine; `arm` again when the configuration has changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._timer: Timer | None = None

    def arm(self) -> None:
        """Wait for the next round by the configuration in force; the round that was waited for is given up."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            rule = self._engine.config.image_gc
            if rule is not None and not self._engine.closing:
                self._timer = self._engine.loop.after(rule.interval, self._round)

    def close(self) -> None:
        """No round begins any more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _round(self) -> None:
        try:
            self._collect()
        finally:
            self.arm()

    def _collect(self) -> None:
        rule = self._engine.config.image_gc
        if rule is None or self._engine.closing:
            return
        try:
            report = prune_images(self._engine, {name: [value] for name, value in rule.filters})
        except Conflict:  # somebody prunes just now
            return
        except WharfError as error:
            log.warning("image-gc: %s", error.message)
            return
        if report.images_deleted:
            log.info("image-gc: %d bytes of unused images removed", report.space_reclaimed)
