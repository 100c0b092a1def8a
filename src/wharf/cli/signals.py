"""Signals of an attached command: forwarded to the container, window changes sent on."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` imports enum: 4 ms

from wharf.cli.streams import terminal_size
from wharf.client.api import Client
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_FORWARDED = {
    _signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGURG, _signal.SIGWINCH, _signal.SIGKILL, _signal.SIGSTOP,
    _signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU, _signal.SIGCONT, _signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE,
    _signal.SIGILL, _signal.SIGABRT, _signal.SIGTRAP, _signal.SIGSYS, _signal.SIGALRM, _signal.SIGVTALRM,
    _signal.SIGPROF, _signal.SIGIO,
}  # fmt: skip
LAST_PLAIN = 31


def forward(client: Client, container: str) -> None:
    """From now on signals that reach this process go to the container instead.

    Signals that say something about this process alone (a fault, job control, timers) stay here.
    """

    def send(number: int, _frame: object) -> None:
        try:
            Client(client.address).post(f"/containers/{container}/kill", signal=number)
        except WharfError:
            pass  # the container has ended meanwhile

    for number in range(1, LAST_PLAIN + 1):
        if number not in _NOT_FORWARDED:
            _signal.signal(number, send)


def follow_window(client: Client, path: str) -> None:
    """Sends the terminal's size to `<path>/resize` now and whenever it changes."""

    def resize(_number: int, _frame: object) -> None:
        size = terminal_size()
        if size is None or not any(size):
            return
        try:
            Client(client.address).post(f"{path}/resize", h=size[0], w=size[1])
        except WharfError:
            pass  # the process has ended meanwhile

    handler: Callable[[int, object], None] = resize
    _signal.signal(_signal.SIGWINCH, handler)
    resize(0, None)
