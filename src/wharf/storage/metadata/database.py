"""wharf.db: SQLite in WAL mode, one writer at a time, the truth about everything the engine knows.

Durability. The connection runs with synchronous=NORMAL, which keeps the database consistent but does not sync at a
commit. A durable transaction syncs the write-ahead log itself after its commit: the same promise as
synchronous=FULL, given per transaction and outside the writer's lock, so that a start (running state, which may be
lost at power loss) never waits for the disk behind a tag. A killed process loses neither.

Reads outside a transaction go through a second connection and do not wait for a writer.

Full disk. The log and the database have more blocks than they need (`LOG_ROOM`, `GROWTH`), so that what happens, and
what is removed to get room, can be recorded when nothing else can be written.
"""

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

from wharf.errors import Conflict, Internal
from wharf.kernel.room import take_room
from wharf.spec.build_record import BuildRecord
from wharf.spec.container import ContainerRecord, ExecRecord
from wharf.spec.image_record import BlobLease, CompressedLayer, ImageRecord, NameRecord, ReferrersRecord
from wharf.spec.network import NetworkRecord
from wharf.spec.volume import VolumeRecord
from wharf.storage.limits import DISK_FULL
from wharf.storage.metadata.repository import Repository, Settings
from wharf.storage.metadata.schema import MIGRATIONS

BUSY_TIMEOUT_S = 10.0
LOG_ROOM = 6 << 20
"""Bytes of the log. SQLite begins it anew after 1,000 pages (wal_autocheckpoint), where all of them could be copied to
the database."""
GROWTH = 2 << 20
"""Bytes that the database can grow by."""
ROOM_EACH = 256
"""Transactions after which the room is looked after."""

log = logging.getLogger("wharf.storage")


class Database:
    """One open database; safe for use from many threads. `close` ends it."""

    def __init__(self, path: str) -> None:
        """Open or create `path` and bring it to the newest schema.

        Raises Internal when the file is no database, or was written by a newer Wharf.
        """
        self.path = path
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._depth = 0
        self._durable = False
        self._owner: int | None = None
        try:
            self._writer = _connect(path)
            self._migrate()
            self._reader = _connect(path)
        except sqlite3.DatabaseError as error:
            raise Internal(f"cannot open the database {path}: {error}") from error
        # Closed after SQLite's own: to close one gives up all locks of the process on the file (fcntl(2)).
        self._file_fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._log_fd = os.open(path + "-wal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._until_room = 0
        self._take_room()
        _sync_directory(os.path.dirname(path) or ".")
        self.containers: Repository[ContainerRecord] = Repository(
            self,
            "containers",
            ContainerRecord,
            lambda item: {"id": item.id, "name": item.name, "image_id": item.image_id},
        )
        self.execs: Repository[ExecRecord] = Repository(
            self, "execs", ExecRecord, lambda item: {"id": item.id, "container_id": item.container_id}
        )
        self.images: Repository[ImageRecord] = Repository(
            self, "images", ImageRecord, lambda item: {"id": str(item.id), "manifest": str(item.manifest.digest)}
        )
        self.names: Repository[NameRecord] = Repository(
            self,
            "names",
            NameRecord,
            lambda item: {"reference": item.reference.canonical(), "image_id": str(item.image_id)},
        )
        self.volumes: Repository[VolumeRecord] = Repository(
            self, "volumes", VolumeRecord, lambda item: {"name": item.name, "driver": item.driver}
        )
        self.networks: Repository[NetworkRecord] = Repository(
            self, "networks", NetworkRecord, lambda item: {"id": item.id, "name": item.name}
        )
        self.build_cache: Repository[BuildRecord] = Repository(
            self, "build_cache", BuildRecord, lambda item: {"id": item.id}
        )
        self.leases: Repository[BlobLease] = Repository(
            self, "leases", BlobLease, lambda item: {"id": str(item.digest)}
        )
        self.compressed: Repository[CompressedLayer] = Repository(
            self, "compressed", CompressedLayer, lambda item: {"id": str(item.plain)}
        )
        self.referrers: Repository[ReferrersRecord] = Repository(
            self, "referrers", ReferrersRecord, lambda item: {"id": str(item.subject)}
        )
        self.kv = Settings(self)

    @property
    def repositories(self) -> tuple[Repository[Any], ...]:
        """Every table of records."""
        return tuple(value for value in vars(self).values() if isinstance(value, Repository))

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the file (PRAGMA quick_check); nothing when it is sound."""
        try:
            rows = self.read("PRAGMA quick_check(20)")
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [str(text) for (text,) in rows if text != "ok"]

    def close(self) -> None:
        """Checkpoint and close; the object is unusable afterwards."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()
            os.close(self._log_fd)
            os.close(self._file_fd)

    @contextlib.contextmanager
    def transaction(self, durable: bool = True) -> Iterator[None]:
        """All or nothing for the writes inside; a nested one joins the outer, which takes the stricter durability.

        Durable: synced to the disk when the outermost block ends. Raises Conflict for a key that must be unique.
        """
        with self._write_lock:
            outermost = self._depth == 0
            if outermost:
                self._writer.execute("BEGIN IMMEDIATE")
                self._durable, self._owner = False, threading.get_ident()
            self._depth += 1
            self._durable = self._durable or durable
            try:
                yield
            except BaseException:
                self._leave()
                if outermost:
                    self._roll_back()
                raise
            self._leave()
            if not outermost:
                return
            try:
                self._writer.execute("COMMIT")
            except sqlite3.OperationalError as error:  # a full disk: nothing of it is there, and the next one may begin
                self._roll_back()
                raise Internal(f"cannot write the database: {error}") from error
            must_sync = self._durable
            self._until_room -= 1
            if self._until_room <= 0:
                self._take_room()
        if must_sync:
            os.fdatasync(self._log_fd)

    def write(self, statement: str, values: tuple[Any, ...], durable: bool = True) -> int:
        """Run one writing statement (in the current transaction or one of its own); the number of rows touched."""
        with self.transaction(durable):
            try:
                return self._writer.execute(statement, values).rowcount
            except sqlite3.IntegrityError as error:
                raise Conflict(f"cannot record {values[0] if values else 'it'}: {error}") from error
            except sqlite3.OperationalError as error:
                raise Internal(f"cannot write the database: {error}") from error

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; inside this thread's transaction its own writes are seen."""
        if self._owner == threading.get_ident():
            return self._writer.execute(statement, values).fetchall()
        with self._read_lock:
            return self._reader.execute(statement, values).fetchall()

    def _take_room(self) -> None:
        """Where the disk is full already, the next transaction tries again."""
        self._until_room = 1
        try:
            take_room(self._log_fd, 0, LOG_ROOM)
            take_room(self._file_fd, os.fstat(self._file_fd).st_size, GROWTH)
        except OSError as error:
            if error.errno in DISK_FULL:
                return
            log.debug("no room can be kept for the database: %s", error)  # a file system without fallocate
        self._until_room = ROOM_EACH

    def _roll_back(self) -> None:
        """Where SQLite has not done it by itself, as it may when the disk is full."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _leave(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._owner = None

    def _migrate(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise Internal(
                f"the database {self.path} has schema {version}, this release knows {len(MIGRATIONS)}: "
                "it was written by a newer release; start that one"
            )
        for number in range(version, len(MIGRATIONS)):
            self._writer.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number]:
                self._writer.execute(statement)
            self._writer.execute(f"PRAGMA user_version={number + 1}")
            self._writer.execute("COMMIT")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
