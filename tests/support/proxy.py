"""A small HTTP proxy of a test's own: CONNECT and absolute URLs, to where the test says that hosts are."""

import base64
import http.client
import select
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from wharf.kernel.namespaces import CLONE_NEWNET, setns

SECONDS = 30.0
_HOP = ("connection", "proxy-authorization", "proxy-connection", "transfer-encoding")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "_Server"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _target(self, netloc: str) -> tuple[str, int] | None:
        """Where the host is; None, and an answer, when the request may not pass."""
        proxy = self.server.proxy
        proxy.seen.append(f"{self.command} {netloc}")
        wanted = "Basic " + base64.b64encode(proxy.user.encode()).decode()
        if proxy.user and self.headers.get("Proxy-Authorization") != wanted:
            self.send_error(407)
        elif netloc not in proxy.hosts:
            self.send_error(502, f"no such host: {netloc}")
        else:
            host, _, port = proxy.hosts[netloc].rpartition(":")
            return host, int(port)
        return None

    def do_CONNECT(self) -> None:
        """A tunnel until both ends are done."""
        target = self._target(self.path)
        if target is None:
            return
        with socket.create_connection(target, SECONDS) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while ends:
                ready, _, _ = select.select(list(ends), [], [], SECONDS)
                if not ready:
                    break
                for sock in ready:
                    if data := sock.recv(65536):
                        ends[sock].sendall(data)
                    else:
                        ends.clear()
                        break
        self.close_connection = True

    def do_GET(self) -> None:
        """A request for somebody else, without what was for the proxy."""
        parts = urlsplit(self.path)
        target = self._target(parts.netloc)
        if target is None:
            return
        there = http.client.HTTPConnection(*target, timeout=SECONDS)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        there.request(self.command, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = there.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in (*_HOP, "content-length", "server", "date"):
                self.send_header(name, value)
        self.send_header("Content-Length", answer.headers.get("Content-Length") or str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        there.close()

    do_HEAD = do_GET


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: "Proxy"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away."""


class Proxy:
    """`hosts` maps `name:port` to where it really is; `user` is `name:password` where one is asked for.

    It listens in the network namespace of the process `network_of` and connects in the test's own.
    """

    def __init__(self, hosts: Mapping[str, str], user: str = "", port: int = 0, network_of: int = 0) -> None:
        self.hosts, self.user = dict(hosts), user
        self.seen: list[str] = []
        self._server = _server_in(network_of, port)
        self._server.proxy = self
        self.url = f"http://{user}@127.0.0.1:{self._server.server_address[1]}".replace("//@", "//")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _server_in(pid: int, port: int) -> _Server:
    """The listening socket, made in the network namespace of a process: a socket stays where it was born."""
    made: list[_Server] = []

    def make() -> None:
        if pid:
            with open(f"/proc/{pid}/ns/net") as namespace:
                setns(namespace.fileno(), CLONE_NEWNET)
        made.append(_Server(("127.0.0.1", port), _Handler))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
