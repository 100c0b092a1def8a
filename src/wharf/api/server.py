"""The API's server: listening sockets, the thread pool for the engine's blocking use cases, dispatch.

`Api` is what handlers get as their first argument. It holds no state of the engine's.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from wharf import __version__
from wharf.api.connection import Connection
from wharf.api.errors import reply_for
from wharf.api.http import Answer, Reply, Request, parse_query
from wharf.api.router import MAX_VERSION, BadTarget, Route, Router, TooOld, version_text
from wharf.api.tls import TlsSide
from wharf.kernel.threads import SteadyPool

P = ParamSpec("P")
T = TypeVar("T")

WORKERS = 16
"""Blocking use cases at once; each ends in bounded time."""
STREAM_WORKERS = 32
"""Threads for bodies that are produced or consumed by blocking code (save, load, export, cp): clients pace them."""
READY = 4
"""Threads of each of these pools that are there from the start, and stay whatever limit is reached."""
BACKLOG = 4096
"""As Go's listeners have it: a connect(2) that does not wait fails at once where it is full (unix(7))."""

log = logging.getLogger("wharf.api")


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound, listening socket and, for TCP, its TLS context."""

    socket: socket.socket
    tls: ssl.SSLContext | None = None
    path: str = ""
    """Of a Unix socket that is removed at the end."""


@dataclass
class Api:
    """What handlers need: the engine, its builder, threads for its blocking use cases, and the loop."""

    engine: Any
    builds: Any = None
    pool: SteadyPool = field(default_factory=lambda: SteadyPool(WORKERS, "api", READY))
    stream_pool: SteadyPool = field(default_factory=lambda: SteadyPool(STREAM_WORKERS, "stream", READY))
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def run(self, use_case: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking use case in a thread. A client that goes away does not stop it."""
        loop = asyncio.get_running_loop()
        if kwargs:
            return await loop.run_in_executor(self.pool, lambda: use_case(*args, **kwargs))
        return await loop.run_in_executor(self.pool, use_case, *args)

    async def run_stream(self, use_case: Callable[[], T]) -> T:
        """Run blocking code that a client paces (it reads a request's body) in a thread of its own pool."""
        return await asyncio.get_running_loop().run_in_executor(self.stream_pool, use_case)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of our own that is kept until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


class Server:
    """Serves an engine on any number of listeners until `close`."""

    def __init__(self, api: Api, routes: Iterable[Route]) -> None:
        self._api = api
        self._router = Router(routes)
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._listeners: list[Listener] = []
        self._accepted = False
        self._common = {
            "Api-Version": version_text(MAX_VERSION),
            "Docker-Experimental": "false",
            "Ostype": "linux",
            "Server": f"Wharf/{__version__} (linux)",
        }

    async def listen(self, listener: Listener) -> None:
        """Accept clients on a bound socket."""
        loop = asyncio.get_running_loop()
        self._listeners.append(listener)
        factory = self._connection
        if listener.socket.family == socket.AF_UNIX:
            server = await loop.create_unix_server(factory, sock=listener.socket, backlog=BACKLOG)
        else:
            server = await loop.create_server(_secured(listener.tls, factory), sock=listener.socket, backlog=BACKLOG)
        self._servers.append(server)

    async def close(self, grace: float = 5.0) -> None:
        """Stop accepting, let answers at hand finish for `grace` seconds, cut the rest."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.stop()
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        while self._connections and loop.time() < end:
            await asyncio.sleep(0.02)
        for connection in list(self._connections):
            connection.abort()
        for listener in self._listeners:
            if listener.path:
                _remove_socket(listener.path)
        self._api.pool.shutdown(wait=False, cancel_futures=True)
        self._api.stream_pool.shutdown(wait=False, cancel_futures=True)

    def used(self) -> bool:
        """Whether a client is connected, or was since the last call."""
        seen, self._accepted = self._accepted, False
        return seen or bool(self._connections)

    def _connection(self) -> Connection:
        self._accepted = True
        return Connection(self._answer, self._common, self._connections)

    async def _answer(self, request: Request, query: str) -> Answer:
        try:
            request.query = parse_query(query)
            handler = self._router.find(request)
            return await handler(self._api, request)
        except asyncio.CancelledError:
            raise
        except (TooOld, BadTarget) as error:
            return Reply(400, f"{error}\n".encode(), "text/plain; charset=utf-8")
        except Exception as error:
            return reply_for(error, f"{request.method} {request.path}")


def _secured(tls: ssl.SSLContext | None, factory: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
    """`factory` itself, or what speaks TLS below it."""
    if tls is None:
        return factory
    return lambda: TlsSide(tls, factory)


def _remove_socket(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
