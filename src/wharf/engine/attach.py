"""Attach a client to a container's streams, also before the start."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wharf.engine.container import AttachRequest, Container
from wharf.engine.container_events import publish_container_event
from wharf.engine.logs import LogsRequest, open_logs
from wharf.errors import Conflict
from wharf.runtime.lifecycle import Verb

if TYPE_CHECKING:
    import socket

    from wharf.engine.engine import Engine

__all__ = ["AttachRequest", "Attached", "attach_container"]

MAX_WAITING = 64
"""Clients that wait for one start."""
Replay = Callable[[Callable[[bytes], object]], None]


@dataclass(frozen=True, slots=True)
class Attached:
    """`stream` is pending until the container starts; it fails when it never will. `replay` writes the log so far."""

    engine: Engine
    container: Container
    tty: bool
    stream: Future[socket.socket] | None
    replay: Replay | None = None

    def detached(self) -> None:
        """The client left by its detach keys."""
        publish_container_event(self.engine, self.container.record, "detach")


def attach_container(engine: Engine, name: str, request: AttachRequest) -> Attached:
    """Raises NotFound, Conflict in Docker's words."""
    container = engine.containers.live(name)
    with container.lock:
        record = container.record
        container.require(Verb.ATTACH, name)
        stream = _join(container, request) if request.stream else None
    publish_container_event(engine, record, "attach")
    replay = _replay(engine, record.id, request) if request.logs else None
    return Attached(engine, container, record.config.tty, stream, replay)


def _join(container: Container, request: AttachRequest) -> Future[socket.socket]:
    stream: Future[Any] = Future()
    running = container.running
    stdin = request.stdin and container.record.config.open_stdin
    if running is not None:
        stream.set_result(
            running.attach(stdin=stdin, stdout=request.stdout, stderr=request.stderr, framed=request.framed)
        )
        return stream
    container.attaching = [item for item in container.attaching if not item[1].cancelled()]
    if len(container.attaching) >= MAX_WAITING:
        raise Conflict(f"more than {MAX_WAITING} clients wait for container {container.id} to start")
    wanted = AttachRequest(stdin, request.stdout, request.stderr, framed=request.framed)
    container.attaching.append((wanted, stream))
    return stream


def _replay(engine: Engine, container_id: str, request: AttachRequest) -> Replay:
    def replay(write: Callable[[bytes], object]) -> None:
        wanted = LogsRequest(stdout=request.stdout, stderr=request.stderr)
        stream = open_logs(engine, container_id, wanted)
        stream.tty = stream.tty or request.framed is False
        try:
            while chunk := stream.read():
                write(chunk)
        finally:
            stream.close()

    return replay
