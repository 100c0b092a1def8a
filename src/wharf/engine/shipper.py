"""Sending one container's log away: read what the monitor wrote, encode, send, remember how far it came.

    rung -> work (in the pool) -> drained: wait for the bell
                               -> the receiver lags: wait until it takes more
                               -> the receiver is gone: wait and connect again

Nothing waits in a thread. An entry is sent at least once: after wharfd was killed the last half second may come again.
In blocking mode entries stay in the log until they are sent; the monitor keeps them and makes the container wait when
its files are full (rotation.py). In non-blocking mode what exceeds the buffer is dropped, and stays in the cache.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wharf.engine.loop import EngineLoop, Timer
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


class Cursor:
    """Time of the last entry that was sent, and how many of that time were; kept in a file beside the log."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.time, self.count, self.done = "", 0, True
        try:
            with open(path, encoding="utf-8") as file:
                found = json.load(file)
            self.time, self.count, self.done = str(found["time"]), int(found["count"]), bool(found["done"])
        except (OSError, ValueError, KeyError, TypeError):
            return

    def passed(self, stamp: str) -> None:
        """One more entry, of this time, is sent."""
        self.count = self.count + 1 if stamp == self.time else 1
        self.time = stamp

    def store(self, done: bool) -> None:
        """Write it; losing it to a crash of the machine repeats entries."""
        self.done = done
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                json.dump({"time": self.time, "count": self.count, "done": done}, file)
            os.rename(f"{self._path}.new", self._path)
        except OSError:
            return

    def rest(self, reader: LogReader) -> Iterator[LogEntry]:
        """The history of the log from here on."""
        skip = self.count
        for entry in reader.history(since=parse_time(self.time) if self.time else 0):
            if skip and entry.time == self.time:
                skip -= 1
                continue
            yield entry


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
        self._doorbell: int | None = None
        self._connection: Connection | None = None
        self._items: deque[_Item] = deque()
        self._size = self._offset = self._dropped = self._failures = 0
        self._heard = b""
        self._lock = threading.Lock()
        self._busy = self._again = self._ended = self._closing = self._retrying = False
        self._over = threading.Event()
        self._timers: list[Timer] = []
        self._noted = self._moved = self._seen = 0.0
        self._noting = False

    # -- from outside

    def connect(self) -> None:
        """Connect now. Raises OSError, WharfError; blocks for a bounded time."""
        self._connection = connect(self.driver.address)

    def follow(self, running: Running) -> None:
        """Send what the log of this run gets, and what is left of earlier ones."""
        self._running = running
        self._doorbell = running.doorbell()
        self._cursor.store(done=False)
        self._loop.call(self._listen)
        self._kick()

    @property
    def complete(self) -> bool:
        """Whether an earlier shipper had sent all."""
        return self._cursor.done

    def drain(self) -> None:
        """Send what is left; nothing runs."""
        self._end()

    def wait(self, seconds: float) -> bool:
        """Whether all is sent or given up within this time."""
        return self._over.wait(seconds)

    def close(self) -> None:
        """Stop and remember how far it came."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            if self._busy:
                return
        self._release()

    # -- when to work

    def _listen(self) -> None:
        if self._doorbell is not None and not self._closing:
            self._loop.loop.add_reader(self._doorbell, self._hear)

    def _hear(self) -> None:
        """On the loop: the log has grown, or is complete."""
        assert self._doorbell is not None
        try:
            ended = not os.read(self._doorbell, 4096)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._unlisten()
            self._end()
        else:
            self._kick()

    def _unlisten(self) -> None:
        doorbell, self._doorbell = self._doorbell, None
        if doorbell is not None:
            self._loop.loop.remove_reader(doorbell)
            os.close(doorbell)

    def _end(self) -> None:
        self._ended, self._moved = True, time.monotonic()
        self._timers.append(self._loop.after(GIVE_UP, self._give_up))
        self._kick()

    def _give_up(self) -> None:
        """The container has ended and its receiver takes nothing: a later start goes on from here."""
        left = GIVE_UP - (time.monotonic() - self._moved)
        if self._over.is_set() or self._closing:
            return
        if left > 0:
            self._timers.append(self._loop.after(left, self._give_up))
            return
        log.warning("%s: the receiver %s takes nothing: the end of a log waits", self.driver.name, self._target())
        self._over.set()
        self.close()

    def _target(self) -> str:
        return f"{self.driver.address.kind}://{self.driver.address.target}"

    def _kick(self) -> None:
        with self._lock:
            if self._busy or self._closing:
                self._again = True
                return
            self._busy, self._again = True, False
        try:
            self._loop.pool.submit(self._run)
        except RuntimeError:  # the engine is closing
            self._busy = False

    def _run(self) -> None:
        try:
            again = self._work()
        except Exception:
            log.exception("%s: a log is not sent any more", self.driver.name)
            again, self._closing = False, True
        with self._lock:
            again = (again or self._again) and not self._closing
            self._busy = self._again = False
            closing = self._closing
        if closing:
            self._release()
        elif again:
            self._kick()

    # -- the work

    def _work(self) -> bool:
        """Whether there is more to do at once."""
        for _ in range(TURN):
            if self._closing:
                return False
            ended, seen = self._ended, time.time_ns()
            self._fill()
            if not self._items:
                self._seen = seen
                self._note()
                if ended:
                    self._finish()
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
        if self._connection is not None:
            return True
        try:
            self.connect()
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
        if not self.driver.waits and self._policy.guarded and self._running is not None:
            self._running.shipped(FOREVER)
        self._retrying = True
        self._timers = [self._loop.after(retry.delay(max(1, self._failures)), self._retry), *self._timers[-1:]]

    def _retry(self) -> None:
        self._retrying = False
        self._kick()

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
            self._kick()

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

    def _note(self, at_once: bool = False) -> None:
        """Store the cursor and tell the monitor, at most every NOTE_EVERY seconds."""
        now = time.monotonic()
        if not at_once and now - self._noted < NOTE_EVERY:
            if not self._noting:
                self._noting = True
                self._loop.after(NOTE_EVERY, self._note_late)
            return
        self._noted = now
        self._cursor.store(done=False)
        if self._policy.guarded and self._running is not None:
            sent = parse_time(self._cursor.time) if self._cursor.time else 0
            self._running.shipped(max(sent, int(self._seen) - _SLACK))

    def _note_late(self) -> None:
        self._noting = False
        if not self._closing:
            self._note(at_once=True)

    def _finish(self) -> None:
        """All of an ended log is sent."""
        self._cursor.store(done=True)
        self._over.set()
        with self._lock:
            self._closing = True

    def _release(self) -> None:
        if not self._over.is_set() and not self._cursor.done:
            self._cursor.store(done=False)
        self._over.set()
        for timer in self._timers:
            timer.cancel()
        self._loop.call(self._unlisten)
        self._drop_connection(goodbye=True)
        self._reader.close()
