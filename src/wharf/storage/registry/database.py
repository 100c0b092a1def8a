"""registry.db: SQLite in WAL mode with synchronous=FULL: what was answered survives a power loss.

One writer at a time, in this process and among processes (`wharf registry user add` beside a running server); readers
do not wait for it.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

from wharf.errors import Internal, Unavailable
from wharf.storage.registry.schema import MIGRATIONS

BUSY_SECONDS = 30.0
Row = tuple[Any, ...]


class Database:
    """One open database, for use from many threads."""

    def __init__(self, path: str) -> None:
        """Open or create; raises Internal when the file is none, or was written by a newer release."""
        self._lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._owner = 0
        self._depth = 0
        try:
            self._writer = _connect(path)
            self._migrate(path)
            self._reader = _connect(path)
        except sqlite3.DatabaseError as error:
            raise Internal(f"cannot open the database {path}: {error}") from error
        os.chmod(path, 0o600)

    def close(self) -> None:
        """The object is unusable afterwards."""
        with self._lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, one at a time; a nested one joins the outer."""
        with self._lock:
            if self._depth == 0:
                self._writer.execute("BEGIN IMMEDIATE")
                self._owner = threading.get_ident()
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._owner = 0
                    self._rollback()
                raise
            self._depth -= 1
            if self._depth == 0:
                self._owner = 0
                try:
                    self._writer.execute("COMMIT")
                except sqlite3.OperationalError as error:
                    self._rollback()
                    raise Unavailable(f"cannot record it: {error}") from error

    def _rollback(self) -> None:
        """SQLite rolls back by itself when the disk is full; another ROLLBACK would be an error then."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def write(self, statement: str, *values: Any) -> int:
        """One writing statement, in the current transaction or one of its own; the number of rows touched."""
        with self.transaction():
            try:
                return self._writer.execute(statement, values).rowcount
            except sqlite3.OperationalError as error:
                raise Unavailable(f"cannot record it: {error}") from error

    def rows(self, statement: str, *values: Any) -> list[Row]:
        """All rows of a query; inside this thread's transaction its own writes are seen."""
        if self._owner == threading.get_ident():
            return self._writer.execute(statement, values).fetchall()
        with self._read_lock:
            return self._reader.execute(statement, values).fetchall()

    def row(self, statement: str, *values: Any) -> Row | None:
        """The first row of a query."""
        found = self.rows(statement, *values)
        return found[0] if found else None

    def _migrate(self, path: str) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            self._writer.execute("ROLLBACK")
            raise Internal(
                f"the database {path} has schema {version}, this release knows {len(MIGRATIONS)}: "
                "it was written by a newer release; start that one"
            )
        for number in range(version, len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                self._writer.execute(statement)
        self._writer.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        self._writer.execute("COMMIT")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection
