"""The engine as several threads use it at once: a client for each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from wharf.client.address import Address
from wharf.client.api import Client
from wharf.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NOT_FOUND, CONFLICT, NOT_MODIFIED = 404, 409, 304


class Engine:
    """Clients of one daemon; `close` ends the connections of all."""

    def __init__(self, address: Address, first: Client | None = None) -> None:
        self.address = address
        self._local = threading.local()
        self._all: list[Client] = []
        self._lock = threading.Lock()
        if first is not None:
            self._local.client = first

    @property
    def client(self) -> Client:
        """This thread's client."""
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = Client(self.address)
            with self._lock:
                self._all.append(client)
        return client

    def close(self) -> None:
        """Closes idle connections of the other threads' clients."""
        with self._lock:
            for client in self._all:
                client.close()


class Events:
    """A thread that hands on a project's container events; the stream is open when the constructor returns."""

    def __init__(
        self, engine: Engine, filters: dict[str, list[str]], listener: Callable[[dict[str, Any]], None]
    ) -> None:
        from wharf.client.api import query

        self._client = Client(engine.address)
        parameters = query({"filters": {**filters, "type": ["container"]}})
        self._response: Response = self._client.request("GET", f"/events{parameters}")
        self._listener = listener
        self._thread = threading.Thread(target=self._read, name="compose-events", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for event in self._client.lines(self._response):
                self._listener(event)
        except Exception as error:  # the stream ends with whatever the closing of its socket gives
            self._listener({"Action": "stream-end", "error": str(error)})
        else:
            self._listener({"Action": "stream-end"})

    def close(self) -> None:
        """Ends the stream and the thread."""
        import _socket

        try:
            self._response.connection.sock.shutdown(_socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(5)
        self._response.connection.close()
