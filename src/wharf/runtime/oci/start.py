"""`start`: let the first process become its program, then the poststart hooks."""

import _socket
import contextlib
import os
import signal
import time

from wharf.runtime import messages
from wharf.runtime.oci import cgroups, hooks
from wharf.runtime.oci.birth import INIT_PREFIX
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.state import START_SOCKET, Container, Store

END_LIMIT = 10.0
"""Seconds that the end of a killed process is awaited."""


def start(store: Store, name: str) -> None:
    """Start a created container; raises CommandFailed."""
    with store.locked(name):
        container = store.load(name)
        _must_be_created(store.status(container))
        connection = _connect(f"{store.directory(name)}")
        try:
            state = container.state("created")
            messages.send(connection, {"op": "go", "state": state})
            failure = _outcome(connection)
        except messages.Closed:
            failure = None
        finally:
            connection.close()
        if failure is not None:
            kill_and_wait(container)
            raise CommandFailed(INIT_PREFIX + failure)
        try:
            hooks.run_all(container.config, "poststart", container.state("running"))
        except hooks.HookFailed as error:
            kill_and_wait(container)
            raise CommandFailed(str(error)) from None


def _must_be_created(status: str) -> None:
    if status == "stopped":
        raise CommandFailed("cannot start a container that has stopped")
    if status == "running":
        raise CommandFailed("cannot start an already running container")
    if status != "created":
        raise CommandFailed(f"cannot start a container in the {status} state")


def _connect(directory: str) -> _socket.socket:
    """The first process's socket; its name goes at once: whoever looks now sees a container that was started."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        sock.connect(f"/proc/self/fd/{fd}/{START_SOCKET}")
        os.unlink(START_SOCKET, dir_fd=fd)
    except OSError:
        sock.close()
        raise CommandFailed("cannot start a container that has stopped") from None
    finally:
        os.close(fd)
    return sock


def _outcome(connection: _socket.socket) -> str | None:
    """None once the program runs (execve closes the socket), else why it does not."""
    try:
        message, _ = messages.receive(connection)
    except messages.Closed:
        return None
    return str(message["text"])


def kill_and_wait(container: Container) -> None:
    """SIGKILL to the container, and wait a bounded time for its end."""
    cgroups.kill(container)
    if container.alive():
        with contextlib.suppress(ProcessLookupError):
            os.kill(container.pid, signal.SIGKILL)
    deadline = time.monotonic() + END_LIMIT
    while container.alive() and time.monotonic() < deadline:
        time.sleep(0.002)
