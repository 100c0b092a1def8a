"""A table of records, and a table of settings: what the engine sees of the database."""

import logging
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from wharf.errors import Internal, WharfError
from wharf.storage.metadata import codec
from wharf.storage.metadata.schema import RECORD_FORMAT

T = TypeVar("T")
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, WharfError)
"""What codec.decode raises for a text that is no such record."""
log = logging.getLogger("wharf.storage")


class Connection(Protocol):
    """What a repository needs of the database."""

    def write(self, statement: str, values: tuple[Any, ...], durable: bool = True) -> int: ...
    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]: ...


class Repository(Generic[T]):
    """Records of one dataclass, keyed by the first of the columns that `columns` gives.

    Each call is a transaction of its own unless the thread is inside `Database.transaction()`.
    """

    def __init__(
        self, connection: Connection, table: str, cls: type[T], columns: Callable[[T], dict[str, str]]
    ) -> None:
        self._connection = connection
        self.table = table
        self._cls = cls
        self._columns = columns
        self.damaged: dict[str, str] = {}
        """Rows that the last look at all of them could not read: key and why. They stay as they are."""

    def put(self, record: T, durable: bool = True) -> None:
        """Insert or replace; raises Conflict where another record holds a column that must be unique."""
        columns = self._columns(record)
        names = [*columns, "format", "record"]
        values = (*columns.values(), RECORD_FORMAT, codec.encode(record))
        key, *others = names
        updates = ", ".join(f"{name}=excluded.{name}" for name in others)
        # An upsert, not REPLACE: REPLACE deletes the row first, and rows that point to it would go too.
        self._connection.write(
            f"INSERT INTO {self.table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {updates}",
            values,
            durable,
        )

    def get(self, key: str) -> T | None:
        """The record, or None."""
        return next(iter(self.where(self._key, key)), None)

    def all(self) -> list[T]:
        """All records that can be read, in the order of their keys; the others are told in the log and `damaged`."""
        rows = self._connection.read(f"SELECT {self._key}, record FROM {self.table} ORDER BY {self._key}")
        found: list[T] = []
        damaged: dict[str, str] = {}
        for key, text in rows:
            try:
                found.append(codec.decode(self._cls, text))
            except _UNREADABLE as error:
                damaged[key] = str(error) or type(error).__name__
                if key not in self.damaged:
                    log.error("%s %s is left out: its row cannot be read: %s", self.table, key, damaged[key])
        self.damaged = damaged
        return found

    def keys(self) -> list[str]:
        """The keys of all rows, readable or not."""
        return [key for (key,) in self._connection.read(f"SELECT {self._key} FROM {self.table} ORDER BY {self._key}")]

    def where(self, column: str, value: str) -> list[T]:
        """Records whose column has the value; `column` is a name from the schema, never input. Raises Internal for a
        row that cannot be read."""
        rows = self._connection.read(f"SELECT record FROM {self.table} WHERE {column}=?", (value,))
        try:
            return [codec.decode(self._cls, text) for (text,) in rows]
        except _UNREADABLE as error:
            raise Internal(f"a row of {self.table} cannot be read ({column} {value}): {error}") from error

    def find_by_name(self, name: str) -> T | None:
        """The record with this name, for tables that have names."""
        return next(iter(self.where("name", name)), None)

    def delete(self, key: str, durable: bool = True) -> bool:
        """Whether there was one to delete."""
        return self._connection.write(f"DELETE FROM {self.table} WHERE {self._key}=?", (key,), durable) > 0

    def remove(self, key: str) -> None:
        """As `delete`, whether it is there or not."""
        self.delete(key)

    @property
    def _key(self) -> str:
        return {"names": "reference", "volumes": "name"}.get(self.table, "id")


class Settings:
    """Small texts by key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, key: str) -> str | None:
        """The value, or None."""
        rows = self._connection.read("SELECT value FROM settings WHERE key=?", (key,))
        return str(rows[0][0]) if rows else None

    def put(self, key: str, value: str) -> None:
        """Insert or replace."""
        self._connection.write(
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value",
            (key, value),
        )

    def delete(self, key: str) -> None:
        """Forget the key."""
        self._connection.write("DELETE FROM settings WHERE key=?", (key,))
