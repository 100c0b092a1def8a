"""A small event loop over epoll: handlers by descriptor, timers, nothing else."""

import heapq
import itertools
import select
import time
from collections.abc import Callable

READ, WRITE, ERROR, HANGUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP

Handler = Callable[[int], None]


class Loop:
    """Level-triggered. A handler gets the events of its descriptor; a mask of 0 means: not watched at all, since
    epoll reports hang-ups even to those who ask for nothing."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._masks: dict[int, int] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = True
        self._fresh: set[int] = set()

    def watch(self, descriptor: int, mask: int, handler: Handler) -> None:
        """Watch, or change what is watched."""
        known = self._masks.get(descriptor, 0)
        if mask == known:
            return
        if not mask:
            self.unwatch(descriptor)
            return
        if known:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
            self._fresh.add(descriptor)
        self._masks[descriptor], self._handlers[descriptor] = mask, handler

    def unwatch(self, descriptor: int) -> None:
        """Stop watching; fine if it was not. To be called before the descriptor is closed."""
        if self._masks.pop(descriptor, 0):
            self._handlers.pop(descriptor, None)
            self._epoll.unregister(descriptor)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), action))

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Until `stop`."""
        while self._running:
            events = self._epoll.poll(self._patience(), 256)
            self._fresh.clear()
            for descriptor, mask in events:
                handler = self._handlers.get(descriptor)
                if handler and descriptor not in self._fresh:  # else: the number's former owner was meant
                    handler(mask)
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1
