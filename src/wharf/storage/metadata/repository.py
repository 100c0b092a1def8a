"""A table of records, and a table of settings: what the engine sees of the database."""

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from wharf.storage.metadata import codec
from wharf.storage.metadata.schema import RECORD_FORMAT

T = TypeVar("T")


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
        self._table = table
        self._cls = cls
        self._columns = columns

    def put(self, record: T, durable: bool = True) -> None:
        """Insert or replace; raises Conflict where another record holds a column that must be unique."""
        columns = self._columns(record)
        names = [*columns, "format", "record"]
        values = (*columns.values(), RECORD_FORMAT, codec.encode(record))
        key, *others = names
        updates = ", ".join(f"{name}=excluded.{name}" for name in others)
        # An upsert, not REPLACE: REPLACE deletes the row first, and rows that point to it would go too.
        self._connection.write(
            f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {updates}",
            values,
            durable,
        )

    def get(self, key: str) -> T | None:
        """The record, or None."""
        return next(iter(self.where(self._key, key)), None)

    def all(self) -> list[T]:
        """All records, in the order of their keys."""
        rows = self._connection.read(f"SELECT record FROM {self._table} ORDER BY {self._key}")
        return [codec.decode(self._cls, text) for (text,) in rows]

    def where(self, column: str, value: str) -> list[T]:
        """Records whose column has the value; `column` is a name from the schema, never input."""
        rows = self._connection.read(f"SELECT record FROM {self._table} WHERE {column}=?", (value,))
        return [codec.decode(self._cls, text) for (text,) in rows]

    def find_by_name(self, name: str) -> T | None:
        """The record with this name, for tables that have names."""
        return next(iter(self.where("name", name)), None)

    def delete(self, key: str, durable: bool = True) -> bool:
        """Whether there was one to delete."""
        return self._connection.write(f"DELETE FROM {self._table} WHERE {self._key}=?", (key,), durable) > 0

    def remove(self, key: str) -> None:
        """As `delete`, whether it is there or not."""
        self.delete(key)

    @property
    def _key(self) -> str:
        return {"names": "reference", "volumes": "name"}.get(self._table, "id")


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
