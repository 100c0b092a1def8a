"""The engine's records in SQLite."""

from wharf.storage.metadata.database import Database

__all__ = ["Database"]
