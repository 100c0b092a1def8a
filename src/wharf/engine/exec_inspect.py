"""What is known about one exec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wharf.engine.views import exec_view

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def inspect_exec(engine: Engine, exec_id: str) -> dict[str, Any]:
    """Docker's document of an exec. Raises NotFound."""
    _, found = engine.containers.find_exec(exec_id)
    return exec_view(found.record)
