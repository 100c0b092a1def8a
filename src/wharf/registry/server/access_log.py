"""The access log: a JSON object a line for every request.

    {"time": "2026-01-31T12:00:00.000Z", "client": "192.0.2.7", "user": "alice", "method": "GET",
     "path": "/v2/app/manifests/1", "repository": "app", "status": 200, "in": 0, "out": 742, "ms": 1.2, "agent": "…"}

Credentials and queries are not in it: a query may carry a signature.
"""

import contextlib
import json
import os
import threading
import time

from wharf.registry.server.http import Body, Request, Response

MAX_TEXT = 512


class AccessLog:
    """Appends to a file, or to an open descriptor; -1 writes nothing."""

    def __init__(self, path: str = "", fd: int = -1) -> None:
        self._path = path
        self._fd = fd
        self._lock = threading.Lock()
        if path:
            self.reopen()

    def reopen(self) -> None:
        """Open the file again, after it was moved away (SIGHUP)."""
        if not self._path:
            return
        fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        with self._lock:
            old, self._fd = self._fd, fresh
            if old >= 0:
                os.close(old)

    def write(self, request: Request, response: Response, body: Body, seconds: float) -> None:
        """Add a line; a log that cannot be written never stops an answer."""
        if self._fd < 0:
            return
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        entry = {
            "time": stamp, "client": request.client, "user": request.user, "method": request.method,
            "path": request.path.partition("?")[0][:MAX_TEXT], "repository": request.repository,
            "status": response.status, "in": getattr(body, "received", 0),
            "out": 0 if request.method == "HEAD" else response.length, "ms": round(seconds * 1000, 1),
            "agent": request.headers.get("user-agent", "")[:MAX_TEXT],
        }  # fmt: skip
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            os.write(self._fd, line)
