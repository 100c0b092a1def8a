"""Relay of datagrams from a published IPv6 address to a container: one flow a client address."""

import socket
import time
from typing import Any

from wharf.network.netd.loop import READ, Loop

_MAX_DATAGRAM = 65535
_MAX_FLOWS = 1024
"""Of one port; the one idle longest makes room."""
_IDLE_SECONDS = 90.0
"""As Docker's proxy (UDPConnTrackTimeout)."""
_BURST = 64
"""Datagrams handled before others get their turn."""


class _Flow:
    def __init__(self, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(target)
        self.used = time.monotonic()
        self.control: list[Any] = []


class UdpRelay:
    """Serves one published socket. Answers leave from the address that the client wrote to (IPV6_PKTINFO)."""

    def __init__(self, loop: Loop, sock: socket.socket, target: tuple[str, int]) -> None:
        self._loop, self._socket, self._target = loop, sock, target
        self._flows: dict[Any, _Flow] = {}
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        loop.watch(sock.fileno(), READ, self._from_client)

    def close(self) -> None:
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        for peer in list(self._flows):
            self._drop(peer)

    def lead(self, address: str) -> None:
        """Lead to the same port of another address, flows of before included."""
        self._target = (address, self._target[1])
        for peer in list(self._flows):
            self._drop(peer)

    def _from_client(self, _: int) -> None:
        for _turn in range(_BURST):
            try:
                data, control, _flags, peer = self._socket.recvmsg(_MAX_DATAGRAM, 128)
            except OSError:  # nothing more, or an ICMP error of an answer sent before
                return
            flow = self._flows.get(peer) or self._new_flow(peer)
            if flow is None:
                continue
            flow.used, flow.control = time.monotonic(), control
            try:
                flow.socket.send(data)
            except OSError:
                self._drop(peer)  # the container refuses; the next datagram starts anew

    def _new_flow(self, peer: Any) -> _Flow | None:
        if len(self._flows) >= _MAX_FLOWS:
            self._drop(min(self._flows, key=lambda known: self._flows[known].used))
        try:
            flow = _Flow(self._target)
        except OSError:
            return None
        if not self._flows:
            self._loop.later(_IDLE_SECONDS, self._expire)
        self._flows[peer] = flow
        self._loop.watch(flow.socket.fileno(), READ, lambda _: self._from_container(peer, flow))
        return flow

    def _from_container(self, peer: Any, flow: _Flow) -> None:
        for _turn in range(_BURST):
            try:
                data = flow.socket.recv(_MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                self._drop(peer)
                return
            flow.used = time.monotonic()
            try:
                self._socket.sendmsg([data], flow.control, 0, peer)
            except OSError:  # a full buffer loses a datagram, as a full queue on the wire would
                return

    def _expire(self) -> None:
        limit = time.monotonic() - _IDLE_SECONDS
        for peer in [peer for peer, flow in self._flows.items() if flow.used <= limit]:
            self._drop(peer)
        if self._flows:
            self._loop.later(_IDLE_SECONDS / 3, self._expire)

    def _drop(self, peer: Any) -> None:
        flow = self._flows.pop(peer, None)
        if flow is not None:
            self._loop.unwatch(flow.socket.fileno())
            flow.socket.close()
