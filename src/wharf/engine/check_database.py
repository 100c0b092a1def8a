"""The database: the file as SQLite sees it, and rows that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wharf.spec.finding import Finding

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

Found = tuple[Finding, Callable[[], object] | None]


def check_database(engine: Engine) -> list[Found]:
    """Nothing of it is mended: what is in a damaged file or row is for a person to judge."""
    database = engine.database
    found: list[Found] = [(Finding("database", database.path, text, safe=False), None) for text in database.problems()]
    for repository in database.repositories:
        repository.all()
        for key, why in repository.damaged.items():
            problem = f"its row cannot be read, and is left alone: {why}"
            found.append((Finding("row", f"{repository.table} {key}", problem, safe=False), None))
    return found
