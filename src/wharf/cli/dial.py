"""`wharf system dial-stdio`: the daemon's socket on standard input and output, for clients that come by ssh."""

from __future__ import annotations

import contextlib
import os
import threading

from wharf.cli.flags import Command
from wharf.cli.session import Session

CHUNK = 65536
COMMAND = Command(
    "system dial-stdio",
    "",
    "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
    example="DOCKER_HOST=ssh://root@server wharf ps",
)


def dial_stdio(session: Session, args: list[str]) -> int:
    """Copies both ways until the daemon ends the connection."""
    import socket

    from wharf.client import http

    COMMAND.parse(args)
    session.client().close()  # starts a private daemon where none was named and none answers
    sock = http.connect(session.address())

    def upwards() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(0, CHUNK):
                sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

    threading.Thread(target=upwards, daemon=True).start()
    while data := sock.recv(CHUNK):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]
    return 0
