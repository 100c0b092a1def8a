"""The thread that listens to all monitors."""

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Any

from wharf.runtime import messages
from wharf.runtime.running import Running

log = logging.getLogger(__name__)
Heard = Callable[[Running, dict[str, Any] | None], bool]


class Reader:
    """Calls `heard(running, message)` for each message, with None at the end; True takes it off the list."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._watched: dict[int, Running] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="wharf-monitors", daemon=True)
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close all sockets: the monitors go on alone."""
        if self._stopping:
            return
        self._stopping = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self._epoll.close()
        os.close(self._wake)
        with self._lock:
            for running in self._watched.values():
                running.channel.close()
            self._watched.clear()

    def add(self, running: Running) -> None:
        """Listen to one more monitor; safe from any thread."""
        fd = running.listen_fd
        with self._lock:
            self._epoll.register(fd, select.EPOLLIN)  # what it hears at once waits for the lock
            self._watched[fd] = running

    def _run(self) -> None:
        while not self._stopping:
            for fd, _events in self._epoll.poll():
                if fd != self._wake:
                    try:
                        self._serve(fd)
                    except Exception:  # one callback's mistake must not end the listening to all others
                        log.exception("a monitor's message could not be handled")

    def _serve(self, fd: int) -> None:
        with self._lock:
            running = self._watched.get(fd)
        if running is None:
            return
        message = _receive(running)
        if message is None or message["op"] == "exit":
            with self._lock:
                self._watched.pop(fd, None)
                self._epoll.unregister(fd)
            self._heard(running, message)
            running.channel.close()
        else:
            self._heard(running, message)


def _receive(running: Running) -> dict[str, Any] | None:
    """The next message; None at the end of the monitor, and where it says so late that nothing has begun to run."""
    if running.channel.mute:  # its pidfd is what became readable
        return None
    try:
        message, fds = messages.receive(running.channel.sock)
        messages.close_all(fds)
    except (messages.Closed, OSError, ValueError):
        return None
    return None if message["op"] == "status" and not message["running"] else message
