"""wharf.db for another process than the engine: queries only."""

import os
import sqlite3
import threading
from typing import Any, NoReturn

from wharf.errors import Internal, NotFound
from wharf.storage.metadata.database import BUSY_TIMEOUT_S
from wharf.storage.metadata.schema import MIGRATIONS


class DatabaseReader:
    """Reads the database of an engine that may be running; what would write raises Internal."""

    def __init__(self, path: str) -> None:
        """Raises NotFound where there is none, Internal for a schema that this release does not know."""
        if not os.path.exists(path):
            raise NotFound(f"{path}: no such database")
        self._lock = threading.Lock()
        # Not mode=ro: the log's index is shared memory that a reader has to make when it is the first.
        self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA query_only=ON")
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version != len(MIGRATIONS):
            raise Internal(f"{path} has schema {version}, this release knows {len(MIGRATIONS)}: start its engine first")

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def write(self, statement: str, values: tuple[Any, ...], durable: bool = True) -> NoReturn:
        """Refused."""
        raise Internal("the database is read only here")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
