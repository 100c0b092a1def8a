"""One request to the API of an engine, as a line of the table asks for it."""

from __future__ import annotations

import http.client
import socket
import time
import urllib.parse
from dataclasses import dataclass

SECONDS = 20.0
MOST = 16 << 20
"""No answer of the table is longer, in bytes."""


@dataclass(frozen=True)
class Reply:
    """What came back; `text` is the body, or as many lines of it as were asked for."""

    status: int
    kind: str
    text: str


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def ask(host: str, words: list[str], lines: int) -> Reply:
    """METHOD PATH [JSON body]; what may not stand in a path is quoted.

    `lines`: so many of a stream that does not end; 0 reads to the end. Without an answer in time: status -1.
    """
    method, path, *body = words
    connection = _Connection(host.removeprefix("unix://"))
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        target = urllib.parse.quote(path, safe="/?&=%:,+")
        connection.request(method, target, body[0].encode() if body else None, headers)
        answer = connection.getresponse()
        data = b"".join(answer.readline() for _ in range(lines)) if lines else _all(answer)
        return Reply(answer.status, answer.headers.get("Content-Type", ""), data.decode(errors="replace"))
    except OSError as error:
        return Reply(-1, "", str(error))
    finally:
        connection.close()


def _all(answer: http.client.HTTPResponse) -> bytes:
    """What comes until the end; raises TimeoutError where there is none in time, however much comes."""
    parts, size, deadline = [], 0, time.monotonic() + SECONDS
    while part := answer.read1(65536):
        parts.append(part)
        size += len(part)
        if size > MOST or time.monotonic() > deadline:
            raise TimeoutError("the answer has no end")
    return b"".join(parts)
