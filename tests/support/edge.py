"""The HTTP edge alone, in a thread of its own, with routes and an engine that a test brings."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import uvloop

from wharf.api.router import Route
from wharf.api.server import Api, Listener, Server

SECONDS = 10


@contextlib.contextmanager
def served(engine: Any, routes: Sequence[Route], listener: Listener) -> Iterator[None]:
    """Answers while the block runs; its thread must end within `SECONDS` of it."""
    ready, control = threading.Event(), []

    async def main() -> None:
        over = asyncio.Event()
        control.append((asyncio.get_running_loop(), over))
        serving = Server(Api(engine), routes)
        await serving.listen(listener)
        ready.set()
        await over.wait()
        await serving.close(grace=1)

    thread = threading.Thread(target=lambda: uvloop.run(main()))
    thread.start()
    assert ready.wait(SECONDS)
    try:
        yield
    finally:
        loop, over = control[0]
        loop.call_soon_threadsafe(over.set)
        thread.join(SECONDS)
    assert not thread.is_alive()
