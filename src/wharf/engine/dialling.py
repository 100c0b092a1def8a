"""A connection to a receiver of logs, made in a thread of its own: one that does not answer, or whose name is not
found, costs nobody a turn of the engine's pool."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future

from wharf.errors import WharfError
from wharf.logdrivers.transport import Address, Connection, connect


class Dialling:
    """One attempt, which ends by itself soon after `transport.CONNECT_LIMIT`. `over` is called then, in its thread."""

    def __init__(self, address: Address, over: Callable[[], object]) -> None:
        self._made: Future[Connection] = Future()
        self._over = over
        threading.Thread(target=self._dial, args=(address,), name="wharf-log-dial", daemon=True).start()

    def _dial(self, address: Address) -> None:
        try:
            self._made.set_result(connect(address))
        except Exception as error:
            self._made.set_exception(error)
        self._over()

    @property
    def ended(self) -> bool:
        """Whether `connection` does not wait."""
        return self._made.done()

    def connection(self) -> Connection:
        """What came of it, the caller's from now on. Raises OSError, WharfError."""
        return self._made.result()

    def abandon(self) -> None:
        """Nobody wants it any more: what is made, or will be, is closed."""
        self._made.add_done_callback(_close)


def _close(made: Future[Connection]) -> None:
    with contextlib.suppress(OSError, WharfError):
        made.result().close()
