"""What wharfd and netd say to one another: one JSON object a message over a seqpacket socket, descriptors beside it.

    {"v": 1, "op": "hello"}                              -> {"ok": true, "v": 1, "pid": …, "sandboxes": [endpoint ids],
                                                             "resolvers": [sandbox ids]}
    {"v": 1, "op": "publish", "id", "target", "target6", "ports": [[protocol, host address, host port, port inside]…],
     "elements": [[map, [key field in hex…]]…], "monitor": bool}
                                                         -> {"ok": true}; descriptors: a socket a port, then the pidfd
    {"v": 1, "op": "release", "id"}                      -> {"ok": true}
    {"v": 1, "op": "move", "id", "to": id, "target", "target6"} -> {"ok": true}
    {"v": 1, "op": "keep", "ids": […]}                   -> {"ok": true}, everything else is dropped
    {"v": 1, "op": "resolve", "sandbox", "networks": [ids], "links": {alias: [network id, name]}, "servers": [address or
     host(address)], "forward": bool, "ndots": bool, "monitor": bool}
                                                         -> {"ok": true}; descriptors: the network namespace, the pidfd
    {"v": 1, "op": "join", "id", "network": [id, name], "sandbox", "names": […], "addresses": […]}
                                                         -> {"ok": true}
    {"v": 1, "op": "leave", "id"}                        -> {"ok": true}
    {"v": 1, "op": "names", "first": bool, "last": bool, "endpoints": [as of join…]}
                                                         -> {"ok": true}, the last one makes all of them valid at once;
                                                            resolvers of sandboxes that have no endpoint there go
    {"v": 1, "op": "stop"}                               -> {"ok": true}, then the process ends

A sandbox whose resolver is there already gets new settings by "resolve"; its descriptors are not looked at.
A refusal is {"ok": false, "error": text}. A publish of many ports comes in several messages of the same id.
"""

import errno
import json
import os
import socket
from typing import Any

VERSION = 1
MAX_MESSAGE = 128 * 1024
MAX_DESCRIPTORS = 201
"""Of one message (the kernel's own limit is 253, SCM_MAX_FD)."""
PORTS_PER_MESSAGE = MAX_DESCRIPTORS - 1


class Dropped(OSError):
    """The kernel has dropped descriptors of a message: there was no room for them below our limit."""


def send(sock: socket.socket, message: dict[str, Any], descriptors: list[int] | None = None) -> None:
    """Send one message; raises OSError."""
    socket.send_fds(sock, [json.dumps(message, separators=(",", ":")).encode()], descriptors or [])


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Receive one message and its descriptors (the caller's to close), None at the end; raises OSError, ValueError,
    and Dropped, after which the connection is as good as before."""
    data, descriptors, flags, _ = socket.recv_fds(sock, MAX_MESSAGE, MAX_DESCRIPTORS)
    if not data:
        return None
    try:
        if flags & socket.MSG_TRUNC:
            raise ValueError("message too long")
        if flags & socket.MSG_CTRUNC:
            raise Dropped(errno.EMFILE, os.strerror(errno.EMFILE))
        message = json.loads(data)
        if not isinstance(message, dict):
            raise ValueError("message is no object")
    except (Dropped, ValueError):
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors
