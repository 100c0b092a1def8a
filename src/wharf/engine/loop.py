"""The loop on which an engine's timers and notifications run: the caller's, or one of its own in a thread."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from wharf.kernel.threads import SteadyPool


class EngineLoop:
    """Timers and call-backs for blocking code. Work that may block goes to `pool`, never onto the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None, workers: int = 8) -> None:
        self._own: threading.Thread | None = None
        if loop is None:
            loop = asyncio.new_event_loop()
            self._own = threading.Thread(target=self._run, args=(loop,), name="wharf-engine-loop", daemon=True)
            self._own.start()
        self.loop = loop
        self.pool = SteadyPool(workers, "wharf-engine", ready=workers)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Run on the loop, soon; from any thread. A closed loop drops it."""
        try:
            self.loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return

    def after(self, seconds: float, work: Callable[[], object]) -> "Timer":
        """Run `work` in the pool after so long, unless the timer is cancelled."""
        timer = Timer(self, work)
        self.call(timer.arm, seconds)
        return timer

    def close(self) -> None:
        """End the pool, and the loop when it is ours."""
        self.pool.shutdown(wait=True)
        if self._own is not None:
            self.call(self.loop.stop)
            self._own.join()
            self.loop.close()


class Timer:
    """One pending piece of work; `cancel` from any thread."""

    def __init__(self, loop: EngineLoop, work: Callable[[], object]) -> None:
        self._loop, self._work = loop, work
        self._handle: asyncio.TimerHandle | None = None
        self._cancelled = False

    def arm(self, seconds: float) -> None:
        """On the loop: start waiting."""
        if not self._cancelled:
            self._handle = self._loop.loop.call_later(seconds, self._fire)

    def _fire(self) -> None:
        if self._cancelled:
            return
        try:
            self._loop.pool.submit(self._work)
        except RuntimeError:  # the engine is closing
            return

    def cancel(self) -> None:
        """Never run it, if it has not begun."""
        self._cancelled = True
        self._loop.call(self._disarm)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


def done(value: Any = None) -> "Future[Any]":
    """A future that holds a value already."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def resolve(future: "Future[Any]", value: Any = None) -> None:
    """Give a future its value unless it has one or nobody waits any more."""
    if future.set_running_or_notify_cancel() if not future.running() and not future.done() else False:
        future.set_result(value)


def fail(future: "Future[Any]", error: BaseException) -> None:
    """As `resolve`, with an error."""
    if future.set_running_or_notify_cancel() if not future.running() and not future.done() else False:
        future.set_exception(error)


def own(source: "Future[Any]") -> "Future[Any]":
    """A future that comes to the same: who gives it up gives up his own waiting only."""
    future: Future[Any] = Future()
    pass_on(source, future)
    return future


def pass_on(source: "Future[Any]", target: "Future[Any]") -> None:
    """Give `target` what `source` comes to."""

    def ended(ready: "Future[Any]") -> None:
        error = ready.exception()
        if error is None:
            resolve(target, ready.result())
        else:
            fail(target, error)

    source.add_done_callback(ended)
