"""Bridges between blocking use cases in threads and chunked answers on the loop, with back-pressure and flat memory."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from typing import Any

from wharf.api.errors import log, message_of
from wharf.api.http import Stream
from wharf.api.server import Api
from wharf.errors import Unavailable, WharfError
from wharf.wire.codec import dumps

MAX_QUEUED = 2 << 20
"""Bytes that wait for a slow client before the producing thread has to."""
GATHER = 128 << 10
"""Small writes are joined to chunks of about this size when the client is the slower side."""


class Outlet:
    """A binary file for one thread to write to, read as an async iterator on the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int = MAX_QUEUED) -> None:
        self._loop = loop
        self._limit = limit
        self._queue: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._gone = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._ready = asyncio.Event()

    def write(self, data: Any) -> int:
        """Queue bytes, waiting while the client lags; raises Unavailable when it went away."""
        chunk = bytes(data)
        if not chunk:
            return 0  # an empty chunk is how the reader knows the end
        with self._changed:
            while self._size > self._limit and not self._gone:
                self._changed.wait()
            if self._gone:
                raise Unavailable("the client closed the connection")
            wake = not self._queue
            self._queue.append(chunk)
            self._size += len(chunk)
        if wake:
            self._loop.call_soon_threadsafe(self._ready.set)
        return len(chunk)

    def flush(self) -> None:
        """Nothing is held back."""

    def emit(self, value: dict[str, Any]) -> None:
        """Queue one object of a JSON stream, a line each as Docker writes them."""
        self.write(dumps(value) + b"\r\n")

    def finish(self, error: BaseException | None = None) -> None:
        """No more will come."""
        with self._changed:
            self._closed = True
            self._error = error
        self._loop.call_soon_threadsafe(self._ready.set)

    @property
    def gone(self) -> bool:
        """Whether the reader is."""
        return self._gone

    def leave(self) -> None:
        """The reader is gone: writers fail."""
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _take(self) -> bytes | None:
        with self._changed:
            parts: list[bytes] = []
            size = 0
            while self._queue and size < GATHER:
                parts.append(self._queue.popleft())
                size += len(parts[-1])
            self._size -= size
            self._changed.notify_all()
            if parts:
                return b"".join(parts) if len(parts) > 1 else parts[0]
            if not self._closed:
                self._ready.clear()
            return b"" if self._closed else None

    async def first(self) -> None:
        """Wait until there is something to send, or the end; raises the producer's error when it wrote nothing."""
        await self._ready.wait()
        with self._changed:
            if self._closed and self._error is not None and not self._queue:
                raise self._error

    async def chunks(self) -> AsyncIterator[bytes]:
        """What was written; raises the producer's error behind it."""
        try:
            while True:
                chunk = self._take()
                if chunk:
                    yield chunk
                elif chunk is None:
                    await self._ready.wait()
                else:
                    break
            if self._error is not None:
                raise self._error
        finally:
            self.leave()


def _start(api: Api, outlet: Outlet, work: Callable[[Outlet], Any]) -> "Future[None]":
    def body() -> None:
        try:
            work(outlet)
        except BaseException as error:
            outlet.finish(error)
        else:
            outlet.finish()

    return api.stream_pool.submit(body)


async def produced(api: Api, work: Callable[[Outlet], Any], content_type: str, **headers: str) -> Stream:
    """An answer that `work(out)` writes in a thread. What fails before the first byte is an error answer."""
    outlet = Outlet(asyncio.get_running_loop())
    _start(api, outlet, work)
    try:
        await outlet.first()
    except asyncio.CancelledError:
        outlet.leave()
        raise
    return Stream(outlet.chunks(), content_type, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def progress(api: Api, work: Callable[[Callable[[dict[str, Any]], None]], Any], always: bool = False) -> Stream:
    """A JSON stream of what `work(emit)` reports from a thread; errors behind the first line become a line too.

    `always`: the status is 200 even when nothing was reported before the error.
    """
    return await progress_into(api, lambda out: work(out.emit), always)


async def progress_into(api: Api, work: Callable[[Outlet], Any], always: bool = False) -> Stream:
    """As `progress`, for work that also wants to know whether its reader is gone."""
    outlet = Outlet(asyncio.get_running_loop())
    _start(api, outlet, work)
    if not always:
        try:
            await outlet.first()
        except asyncio.CancelledError:
            outlet.leave()
            raise
    return Stream(_with_error_line(outlet), "application/json")


async def _with_error_line(outlet: Outlet) -> AsyncIterator[bytes]:
    chunks = outlet.chunks()
    try:
        async for chunk in chunks:
            yield chunk
    except (WharfError, OSError, ValueError) as error:
        if not isinstance(error, WharfError):
            log.error("a streamed request failed", exc_info=error)
        text = message_of(error)
        yield dumps({"errorDetail": {"message": text}, "error": text}) + b"\r\n"
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]
