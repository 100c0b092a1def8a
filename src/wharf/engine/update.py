"""Change a container's limits or restart policy while it exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wharf.errors import NotImplementedYet

if TYPE_CHECKING:
    from wharf.engine.engine import Engine


def update_container(engine: Engine, name: str) -> None:
    """Raises NotFound, else NotImplementedYet."""
    engine.containers.find(name)
    raise NotImplementedYet("container update is not there yet")
