"""What keeps a container frozen: its user's pause, which the record knows, and commits, which hold it still meanwhile.

It thaws when neither is left, or when it was sent a signal that it must hear (`stop.thaw`).
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wharf.engine.container import Container

if TYPE_CHECKING:
    from wharf.runtime.running import Running

GONE = (errno.ENOENT, errno.ENODEV, errno.ESRCH)
"""The cgroup went with the container's end, which is not recorded yet."""


@contextlib.contextmanager
def held_still(container: Container) -> Iterator[None]:
    """Frozen within the `with`, with nobody told. Several may hold it at once; one that does not run is fine.

    No exec starts meanwhile: it would join a frozen cgroup and hang. Raises OSError, Unavailable (see Gate).
    """
    with container.gate.close():
        running = _hold(container)
        try:
            yield
        finally:
            if running is not None:
                _let_go(container, running)


def _hold(container: Container) -> Running | None:
    with container.lock:
        running = container.running
        if running is None:
            return None
        try:
            running.pause()
        except OSError as error:
            if error.errno in GONE:
                return None
            raise
        container.held.append(running)
        return running


def _let_go(container: Container, running: Running) -> None:
    with container.lock:
        container.held.remove(running)
        if container.running is not running or container.record.state.paused:
            return
        try:
            resume_unless_held(container, running)
        except OSError as error:
            if error.errno not in GONE:
                raise


def resume_unless_held(container: Container, running: Running) -> None:
    """Thaw what no commit holds still, under the container's lock. Raises OSError."""
    if running not in container.held:
        running.resume()
