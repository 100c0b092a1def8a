"""netd must run as long as wharfd does: its end is heard at once (its pidfd is on the loop), another one is started,
and is told what the old one knew.

    netd ends -> started again -> endpoints with their sockets, resolvers with their namespaces, names -> watched

A netd that keeps ending is started at growing intervals. Containers go on all the while: the kernel leads their IPv4
ports, and connections to IPv6 ports wait in the sockets, which the monitors hold too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wharf.engine.resolvers import resolver_of
from wharf.errors import WharfError
from wharf.network.endpoint import SandboxTarget
from wharf.network.netd.handover import sockets_of

if TYPE_CHECKING:
    from wharf.engine.container import Container
    from wharf.engine.engine import Engine
    from wharf.runtime.running import Running
    from wharf.spec.network import Endpoint

_FIRST_DELAY, _LONGEST_DELAY, _CALM = 0.1, 10.0, 10.0
"""Seconds: before the second start in a row, at most, and the life after which a netd counts as healthy."""
log = logging.getLogger("wharf.engine")


class NetdGuard:
    """See the module. `hand_over` blocks for some milliseconds and never raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pidfd = -1
        self._since = 0.0
        self._delay = 0.0

    def hand_over(self) -> None:
        """Tell the netd that answers, or a new one, what it does not know of what runs; watch it from now on."""
        try:
            pidfd = self._engine.relay.pidfd()
        except (OSError, WharfError) as error:
            log.warning("netd cannot be watched: %s", error)
            self._again()
            return
        self._since = time.monotonic()
        self._engine.loop.call(self._watch, pidfd)
        for container in self._engine.containers:
            with container.lock:  # a start under way tells it itself
                try:
                    self._tell(container)
                except (OSError, WharfError) as error:
                    log.warning("netd: container %s: %s", container.id, error)

    def close(self) -> None:
        """Watch no more."""
        self._engine.loop.call(self._forget)

    def _tell(self, container: Container) -> None:
        running, endpoints = container.running, container.endpoints
        if running is None or not any(endpoint.ports or endpoint.names for endpoint in endpoints):
            return
        relay = self._engine.relay
        with_ports, resolved = relay.known()
        for endpoint in endpoints:
            if endpoint.ports and endpoint.id not in with_ports:
                self._publish(endpoint, running)
        resolver = resolver_of(self._engine.config.dns, container.record, endpoints)
        if resolver is not None and resolver.sandbox_id not in resolved:
            with _target(running) as target:
                relay.resolve(resolver, target)
        for endpoint in endpoints:
            relay.join(endpoint)

    def _publish(self, endpoint: Endpoint, running: Running) -> None:
        with contextlib.ExitStack() as closing:
            monitor = running.duplicate_monitor()
            closing.callback(os.close, monitor)
            found = sockets_of(endpoint.ports, monitor, log.warning)
            for _, sock in found:
                closing.enter_context(sock)
            held = dataclasses.replace(endpoint, ports=tuple(port for port, _ in found))
            self._engine.relay.publish(held, [sock for _, sock in found], monitor)

    # -- on the loop

    def _watch(self, pidfd: int) -> None:
        self._forget()
        if self._engine.closing:
            os.close(pidfd)
            return
        self._pidfd = pidfd
        self._engine.loop.loop.add_reader(pidfd, self._ended)

    def _ended(self) -> None:
        self._forget()
        if not self._engine.closing:
            log.warning("netd has ended: it is started again")
            self._again()

    def _again(self) -> None:
        """At once after a calm life, else later and later."""
        calm = time.monotonic() - self._since > _CALM
        self._delay = 0.0 if calm else min(max(self._delay * 2, _FIRST_DELAY), _LONGEST_DELAY)
        self._engine.loop.after(self._delay, self.hand_over)

    def _forget(self) -> None:
        if self._pidfd >= 0:
            self._engine.loop.loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


@contextlib.contextmanager
def _target(running: Running) -> Iterator[SandboxTarget]:
    """A sandbox that runs, as netd needs it: nothing is sent on the route socket."""
    with contextlib.ExitStack() as closing:
        netns = running.namespace("network")
        closing.callback(os.close, netns)
        monitor = running.duplicate_monitor()
        closing.callback(os.close, monitor)
        unused = closing.enter_context(socket.socket(socket.AF_UNIX))
        yield SandboxTarget(netns, unused, monitor)
