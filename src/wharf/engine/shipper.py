"""Sending one container's log away: read what the monitor wrote, encode, send, remember how far it came.

    rung -> work (in the pool) -> drained: wait for the bell
                               -> the receiver lags: wait until it takes more
                               -> the receiver is gone: wait and connect again (dialling.py)

Nothing waits in a thread of the pool. An entry is sent at least once: after wharfd was killed the last half second may
come again. In blocking mode entries stay in the log until they are sent; the monitor keeps them and makes the container
wait when its files are full (rotation.py). In non-blocking mode what exceeds the buffer is dropped, and stays in the
cache.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.engine.cursor import Cursor
from wharf.engine.dialling import Dialling
from wharf.engine.doorbell import Doorbell
from wharf.engine.loop import EngineLoop, Timer, resolve
from wharf.engine.turns import Turns
from wharf.errors import WharfError
from wharf.logdrivers.drivers import Driver
from wharf.logdrivers.transport import Connection, connect
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import LogEntry, parse_time

if TYPE_CHECKING:
    from wharf.runtime.running import Running

FILL = 256 << 10
"""Encoded bytes that wait in memory in blocking mode."""
TURN = 64
"""Fills before other work of the pool has its turn."""
NOTE_EVERY = 0.5
LINGER = 2.0
GIVE_UP = 10.0
"""Seconds without progress after the container's end."""
FOREVER = 1 << 62
_SLACK = 10**9  # ns: an entry may reach the file that much after the time it bears
log = logging.getLogger("wharf.engine")


@dataclass(frozen=True, slots=True)
class Policy:
    """`buffer`: bytes of non-blocking mode, None for blocking. `guarded`: the monitor waits for `shipped`."""

    buffer: int | None
    guarded: bool


@dataclass(slots=True)
class _Item:
    """A piece to send; `stamp` is the time of the entry that it completes, or empty."""

    data: bytes
    stamp: str


class Shipper:
    """One container's. `follow` begins; `close` ends it at once; from any thread."""

    def __init__(self, loop: EngineLoop, reader: LogReader, driver: Driver, policy: Policy, cursor: str) -> None:
        self.driver = driver
        self._loop, self._reader, self._policy = loop, reader, policy
        self._cursor = Cursor(cursor)
        self._entries: Iterator[LogEntry] | None = self._cursor.rest(reader)
        self._running: Running | None = None
        self._doorbell: Doorbell | None = None
        self._connection: Connection | None = None
        self._dialling: Dialling | None = None
        self._items: deque[_Item] = deque()
        self._size = self._offset = self._dropped = self._failures = 0
        self._heard = b""
        self._turns = Turns(loop.pool, self._turn, self._release)
        self._ended = self._retrying = self._noting = False
        self._timers: dict[str, Timer] = {}
        self._noted = self._moved = self._seen = 0.0
        self.over: Future[None] = Future()
        """Resolves when all of an ended log is sent or given up, or when it is closed."""

    # -- from outside

    def connect(self) -> None:
        """Connect now, before the container starts. Raises OSError, WharfError; blocks for a bounded time."""
        self._connection = connect(self.driver.address)

    def follow(self, running: Running) -> None:
        """Send what the log of this run gets, and what is left of earlier ones."""
        self._running = running
        self._cursor.store(done=False)
        self._doorbell = Doorbell(self._loop, running.doorbell(), self._turns.ask, self.drain)
        self._turns.ask()

    def drain(self) -> None:
        """Send what is left; nothing runs."""
        self._ended, self._moved = True, time.monotonic()
        self._after("give up", GIVE_UP, self._give_up)
        self._turns.ask()

    def close(self) -> None:
        """Stop and remember how far it came."""
        self._turns.stop()

    # -- when to work

    def _after(self, purpose: str, seconds: float, work: Callable[[], object]) -> None:
        self._timers[purpose] = self._loop.after(seconds, work)

    def _give_up(self) -> None:
        """The container has ended and its receiver takes nothing: a later start goes on from here."""
        left = GIVE_UP - (time.monotonic() - self._moved)
        if self._turns.stopped:
            return
        if left > 0:
            self._after("give up", left, self._give_up)
            return
        log.warning("%s: the receiver %s takes nothing: the end of a log waits", self.driver.name, self._target())
        self.close()

    def _target(self) -> str:
        return f"{self.driver.address.kind}://{self.driver.address.target}"

    def _turn(self) -> bool:
        try:
            again = self._work()
            self._note()
        except Exception:
            log.exception("%s: a log is not sent any more", self.driver.name)
            self.close()
            return False
        return again

    # -- the work

    def _work(self) -> bool:
        """Whether there is more to do at once."""
        for _ in range(TURN):
            if self._turns.stopped:
                return False
            ended, seen = self._ended, time.time_ns()
            self._fill()
            if not self._items:
                self._seen = seen
                if ended:
                    self._cursor.store(done=True)
                    self.close()
                return False
            if self._retrying or not self._connected():
                return False
            try:
                self._send()
            except BlockingIOError:
                self._await()
                return False
            except OSError as error:
                self._lost(error)
                return False
            self._note()
        return True

    def _fill(self) -> None:
        """Encode what the log has, as far as it may wait here."""
        buffer = self._policy.buffer
        while buffer is not None or self._size < FILL:
            if self._entries is None:
                self._entries = self._reader.more()
                more = False
            else:
                more = True
            for entry in self._entries:
                more = True
                pieces = self.driver.encoder.encode(entry) or [b""]
                size = sum(map(len, pieces))
                if buffer is not None and self._size and self._size + size > buffer:
                    self._dropped += 1
                    continue
                self._items += [_Item(piece, "") for piece in pieces[:-1]]
                self._items.append(_Item(pieces[-1], entry.time))
                self._size += size
                if buffer is None and self._size >= FILL:
                    return
            self._entries = None
            if not more:
                return

    def _connected(self) -> bool:
        """False while it is not: a turn follows when an attempt has ended."""
        if self._connection is not None:
            return True
        if self._dialling is None:
            self._dialling = Dialling(self.driver.address, self._turns.ask)
        if not self._dialling.ended:
            return False
        made, self._dialling = self._dialling, None
        try:
            self._connection = made.connection()
        except (OSError, WharfError) as error:
            self._lost(error)
            return False
        if self._failures:
            log.info("%s: %s is there again", self.driver.name, self._target())
        return True

    def _send(self) -> None:
        """Send what waits. Raises BlockingIOError, OSError."""
        connection = self._connection
        assert connection is not None
        while self._items:
            item = self._items[0]
            view = memoryview(item.data)
            while self._offset < len(view):
                self._offset += connection.send(view[self._offset :])
            if self.driver.chunk_of is not None and item.data:
                self._await_answer(connection, self.driver.chunk_of(item.data))
            self._items.popleft()
            self._size -= len(item.data)
            self._offset, self._failures = 0, 0
            if item.stamp:
                self._cursor.passed(item.stamp)
            self._moved = time.monotonic()
        if self._dropped:
            log.warning("%s: %d entries were dropped: %s lagged", self.driver.name, self._dropped, self._target())
            self._dropped = 0

    def _await_answer(self, connection: Connection, chunk: bytes) -> None:
        while chunk not in self._heard:
            data = connection.receive(4096)
            if not data:
                raise ConnectionResetError("the receiver has closed the connection")
            self._heard = (self._heard + data)[-8192:]
        self._heard = b""

    def _lost(self, error: Exception) -> None:
        """Try again later, from the beginning of the entry that was cut."""
        self._drop_connection()
        self._offset, self._heard = 0, b""
        self._failures += 1
        if self._failures == 1:
            log.warning("%s: %s: %s", self.driver.name, self._target(), error)
        retry = self.driver.retry
        if retry.tries is not None and self._failures > retry.tries:
            log.warning("%s: %d messages given up: %s", self.driver.name, len(self._items), self._target())
            for item in self._items:
                if item.stamp:
                    self._cursor.passed(item.stamp)
            self._items.clear()
            self._size = self._failures = 0
        self._tell()
        self._retrying = True
        self._after("retry", retry.delay(max(1, self._failures)), self._retry)

    def _retry(self) -> None:
        self._retrying = False
        self._turns.ask()

    def _await(self) -> None:
        """Work again when the receiver takes more or answers."""
        connection = self._connection
        assert connection is not None
        item = self._items[0]
        sent = self._offset >= len(item.data)

        def ready() -> None:
            fd = connection.fileno()
            if fd >= 0:
                (self._loop.loop.remove_reader if sent else self._loop.loop.remove_writer)(fd)
            self._turns.ask()

        def watch() -> None:
            if connection.fileno() >= 0 and connection is self._connection:
                (self._loop.loop.add_reader if sent else self._loop.loop.add_writer)(connection.fileno(), ready)

        self._loop.call(watch)

    def _drop_connection(self, goodbye: bool = False) -> None:
        """Close it; with `goodbye` let the receiver read to the end first, for LINGER at most."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        loop = self._loop.loop

        def drop() -> None:
            if connection.fileno() >= 0:
                loop.remove_reader(connection.fileno())
                loop.remove_writer(connection.fileno())
                connection.close()

        def linger() -> None:
            loop.remove_writer(connection.fileno())
            if connection.say_goodbye():
                loop.add_reader(connection.fileno(), lambda: drop() if connection.has_ended() else None)
                loop.call_later(LINGER, drop)
            else:
                drop()

        self._loop.call(linger if goodbye else drop)

    # -- how far it came

    def _note(self) -> None:
        """Store the cursor and tell the monitor, at most every NOTE_EVERY seconds."""
        if self._turns.stopped:
            return
        now = time.monotonic()
        if now - self._noted < NOTE_EVERY:
            if not self._noting:
                self._noting = True
                self._after("note", NOTE_EVERY, self._note_late)
            return
        self._noted = now
        self._cursor.store(done=False)
        self._tell()

    def _note_late(self) -> None:
        self._noting = False
        self._turns.ask()

    def _tell(self) -> None:
        """Tell the monitor what it may drop."""
        if not self._policy.guarded or self._running is None:
            return
        if self._failures and not self.driver.waits:
            self._running.shipped(FOREVER)
            return
        sent = parse_time(self._cursor.time) if self._cursor.time else 0
        self._running.shipped(max(sent, int(self._seen) - _SLACK))

    def _release(self) -> None:
        if not self._cursor.done:
            self._cursor.store(done=False)
        for timer in list(self._timers.values()):
            timer.cancel()
        if self._doorbell is not None:
            self._doorbell.close()
        if self._dialling is not None:
            self._dialling.abandon()
        self._drop_connection(goodbye=True)
        self._reader.close()
        resolve(self.over)
