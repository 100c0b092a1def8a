"""HTTP for the client: connections used again, bodies in bounded pieces, proxies.

The standard library's `http.client` bounds lines and headers; everything else that a server may do wrong is bounded
here. No redirect is followed and nothing is tried again at this level.
"""

import base64
import http.client
import threading
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from wharf.registry.client.errors import Misbehaves, Unreachable, unreachable
from wharf.registry.client.pace import PacedResponse
from wharf.registry.client.proxies import DEFAULT_PORT, proxy_of
from wharf.registry.client.trust import Origin, is_insecure, split_url, tls_context
from wharf.registry.client.values import MAX_ANSWER, ClientConfig

MAX_IDLE = 8
"""Connections to one host that are kept."""
MAX_DRAIN = 64 << 10
"""Bytes of a body that nobody wants that are read so that the connection can be used again."""
T = TypeVar("T")
Body = bytes | Iterable[bytes] | None
_FAILURES = (OSError, http.client.HTTPException, ValueError)


class Answer:
    """An answer whose body has not been read. Close it, or read it to its end."""

    def __init__(self, pool: "Connections", origin: Origin, connection: Any, response: Any, url: str) -> None:
        self.status: int = response.status
        self.url = url
        self.origin = origin
        self._pool, self._connection, self._response = pool, connection, response
        self._method: str = response._method if hasattr(response, "_method") else "GET"
        self._over = False

    def header(self, name: str) -> str:
        """The header's value, or ""."""
        return self._response.headers.get(name) or ""

    def headers(self, name: str) -> list[str]:
        """All values of a header."""
        return self._response.headers.get_all(name) or []

    @property
    def length(self) -> int | None:
        """Content-Length, None where there is none."""
        text = self.header("Content-Length")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def readinto(self, view: memoryview) -> int:
        """Fill `view` as far as the body goes; 0 at its end, which may be too early: the caller knows the length.

        Raises Unreachable when the connection breaks.
        """
        try:
            size = int(self._response.readinto(view))
            if not size and self._response.failure is not None:
                raise self._response.failure
            return size
        except _FAILURES as error:
            self.close()
            raise unreachable("get", self.url, error) from None

    def read(self, limit: int = MAX_ANSWER) -> bytes:
        """The whole body. Raises Misbehaves beyond `limit` bytes, Unreachable when it is cut short."""
        if (self.length or 0) > limit:
            self.close()
            raise Misbehaves(f"the answer of {self.url} is larger than the limit of {limit} bytes")
        try:
            data: bytes = self._response.read(limit + 1)
            if self._response.failure is not None:
                raise self._response.failure
            if len(data) > limit:
                raise Misbehaves(f"the answer of {self.url} is larger than the limit of {limit} bytes")
            if self.length is not None and len(data) < self.length and self._method != "HEAD":
                raise Unreachable(f'Get "{self.url}": unexpected EOF')
        except _FAILURES as error:
            self.close()
            raise unreachable("get", self.url, error) from None
        except BaseException:
            self.close()
            raise
        self.finish()
        return data

    def finish(self) -> None:
        """Give the connection back when the body is at its end, else close it; once is enough."""
        if self._over:
            return
        try:
            if not self._response.isclosed():
                self._response.read(MAX_DRAIN)
            ended = self._response.isclosed() or self._response.length == 0
        except _FAILURES:
            ended = False
        if ended and not self._response.will_close:
            self._over = True
            self._response.close()
            self._pool.give_back(self.origin, self._connection)
        else:
            self.close()

    def close(self) -> None:
        """Give the connection up, unless it was given back already."""
        if not self._over:
            self._over = True
            self._response.close()
            self._connection.close()


class Connections:
    """Idle connections by origin; safe for use from many threads."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._idle: dict[Origin, list[Any]] = {}
        self._contexts: dict[tuple[Origin, bool], Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.close()

    def give_back(self, origin: Origin, connection: Any) -> None:
        """A connection whose answer was read to its end."""
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            if len(idle) < MAX_IDLE:
                idle.append(connection)
                return
        connection.close()

    def dial(self, origin: Origin, timeout: float) -> None:
        """Make a connection and keep it for the next request; raises OSError (ssl.SSLError among them)."""
        self.give_back(origin, self._connect(origin, timeout))

    def send(self, method: str, url: str, headers: Mapping[str, str], body: Body = None) -> Answer:
        """One request. Raises Unreachable when no answer comes, Misbehaves for a bad URL.

        A kept connection that turns out to be closed is replaced, where the body can be sent again.
        """
        origin, path = split_url(url)
        again = body is None or isinstance(body, bytes)
        kept = self._take(origin) if again else None
        if kept is not None:
            try:
                return self._exchange(kept, origin, method, path, headers, body)
            except _FAILURES:
                kept.close()
        connection = None
        try:
            connection = self._connect(origin)
            return self._exchange(connection, origin, method, path, headers, body)
        except _FAILURES as error:
            if connection is not None:
                connection.close()
            raise unreachable(method, url, error) from None

    def _exchange(
        self, connection: Any, origin: Origin, method: str, path: str, headers: Mapping[str, str], body: Body
    ) -> Answer:
        sent = {"User-Agent": self._config.user_agent, **headers}
        target = path
        if proxy := proxy_of(self._config.proxies, origin) if origin.scheme == "http" else None:
            target = f"{origin}{path}"
            sent.update(_proxy_headers(proxy))
        chunked = body is not None and not isinstance(body, bytes) and "Content-Length" not in sent
        if body is None and method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = "0"
        try:
            connection.request(method, target, body, sent, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            if body is None or isinstance(body, bytes):
                raise
            # A server that refuses an upload may answer and close before it has read it all.
        response = connection.getresponse()
        return Answer(self, origin, connection, response, f"{origin}{path}")

    def _take(self, origin: Origin) -> Any:
        with self._lock:
            idle = self._idle.get(origin)
            return idle.pop() if idle else None

    def _connect(self, origin: Origin, timeout: float = 0) -> Any:
        proxy = proxy_of(self._config.proxies, origin)
        host, port = (proxy.hostname or "", proxy.port or DEFAULT_PORT) if proxy else (origin.host, origin.port)
        timeout = timeout or self._config.connect_timeout
        connection: Any
        if origin.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context(origin))
            if proxy:
                connection.set_tunnel(origin.host, origin.port, _proxy_headers(proxy))
        else:
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        connection.response_class = PacedResponse
        try:
            connection.connect()
            connection.sock.settimeout(self._config.read_timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _context(self, origin: Origin) -> Any:
        insecure = is_insecure(self._config, origin.host, f"{origin.host}:{origin.port}")
        with self._lock:
            context = self._contexts.get((origin, insecure))
            if context is None:
                context = self._contexts[origin, insecure] = tls_context(self._config, origin, insecure)
            return context


def _proxy_headers(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
