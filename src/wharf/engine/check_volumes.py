"""Volumes: rows without data, data without rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from wharf.engine.volumes import ensure_volume
from wharf.errors import Invalid
from wharf.spec.finding import Finding
from wharf.spec.volume import check_volume_name

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def check_volumes(engine: Engine) -> list[tuple[Finding, Callable[[], object] | None]]:
    """See the module. Data is never deleted: it becomes a volume again."""
    found: list[tuple[Finding, Callable[[], object] | None]] = []
    with engine.database.transaction(durable=False):  # no volume is made meanwhile
        present = set(engine.volumes.names())
        recorded = {record.name for record in engine.database.volumes.all()}
    for name in sorted(recorded - present):
        if not engine.volumes.exists(name) and engine.database.volumes.get(name) is not None:
            mend = partial(engine.database.volumes.delete, name)
            found.append((Finding("volume", name, "its data is gone"), mend))
    for name in sorted(present - recorded):
        try:
            check_volume_name(name)
        except Invalid:
            found.append((Finding("volume", name, "a strange file among the volumes", safe=False), None))
            continue
        if engine.volumes.exists(name):
            found.append((Finding("volume", name, "its data has no record"), partial(ensure_volume, engine, name)))
    return found
