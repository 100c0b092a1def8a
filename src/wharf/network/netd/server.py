"""netd: one small resident process. It holds the sockets of published ports, relays the IPv6 ones, resolves names for
the containers of user-defined networks, and cleans up after a container whose monitor has ended, with or without
wharfd.

It lives in a session of its own, outlives wharfd, and is found by the next one through its listening socket. It
ends when told to, or by itself when no wharfd is connected and no container is left.
"""

import contextlib
import os
import signal
import socket
import sys
from typing import Any

from wharf.kernel.nftables import Element, NftSocket
from wharf.network.netd import messages
from wharf.network.netd.dns_service import NameService
from wharf.network.netd.loop import READ, Loop
from wharf.network.netd.tcp import Budget, TcpListener
from wharf.network.netd.udp import UdpRelay

LISTENING_DESCRIPTOR = 3
_LONELY_SECONDS = 60.0
_RESERVED_DESCRIPTORS = 256


class Guarded:
    """What netd holds for one endpoint."""

    def __init__(self, target: str) -> None:
        self.target = target
        """Where host ports are relayed to: only IPv6 ones are."""
        self.monitor = -1
        self.elements: list[tuple[str, Element]] = []
        self.relays: list[TcpListener | UdpRelay] = []
        self.held: list[socket.socket] = []


class Server:
    """Requests in, relays and clean-up out."""

    def __init__(self, listening: socket.socket, table: str) -> None:
        self._loop = Loop()
        self._nft = NftSocket(table)
        self._listening = listening
        self._guarded: dict[str, Guarded] = {}
        self._names = NameService(self._loop, self._end_if_lonely_soon)
        self._clients: set[int] = set()
        self._budget = Budget((_descriptor_limit() - _RESERVED_DESCRIPTORS) // 2)
        listening.setblocking(False)
        self._loop.watch(listening.fileno(), READ, self._accept)
        self._loop.later(_LONELY_SECONDS, self._end_if_lonely)

    def run(self) -> None:
        self._loop.run()
        for name in list(self._guarded):
            self._drop(name)
        for sandbox in self._names.sandboxes():
            self._names.drop(sandbox)

    # -- control -------------------------------------------------------------------------------------------------

    def _accept(self, _: int) -> None:
        client, _peer = self._listening.accept()
        self._clients.add(client.fileno())
        self._loop.watch(client.fileno(), READ, lambda _: self._serve(client))

    def _serve(self, client: socket.socket) -> None:
        try:
            received = messages.receive(client)
            if received is not None:
                messages.send(client, self._answer(*received))
                return
        except messages.Dropped as error:
            self._refuse(client, error)
            return
        except (OSError, ValueError) as error:
            print(f"netd: control connection lost: {error}", file=sys.stderr, flush=True)
        self._clients.discard(client.fileno())
        self._loop.unwatch(client.fileno())
        client.close()
        if not self._clients:
            self._loop.later(_LONELY_SECONDS, self._end_if_lonely)

    def _refuse(self, client: socket.socket, error: OSError) -> None:
        with contextlib.suppress(OSError):  # one that is gone is heard of next
            messages.send(client, {"ok": False, "error": str(error.strerror).lower()})

    def _answer(self, message: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        try:
            return {"ok": True} | (self._obey(message, descriptors) or {})
        except (OSError, KeyError, TypeError, ValueError) as error:
            return {"ok": False, "error": f"{message.get('op')}: {error}"}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _obey(self, message: dict[str, Any], descriptors: list[int]) -> dict[str, Any] | None:
        match message["op"]:
            case "hello":
                known = {"sandboxes": list(self._guarded), "resolvers": self._names.sandboxes()}
                return {"v": messages.VERSION, "pid": os.getpid(), **known}
            case "publish":
                self._publish(message, descriptors)
            case "release":
                self._drop(message["id"])
            case "move":
                self._move(message["id"], message["to"], message["target6"] or message["target"])
            case "keep":
                for name in set(self._guarded) - set(message["ids"]):
                    self._drop(name)
            case "resolve":
                self._names.resolve(message, descriptors)
            case "join":
                self._names.join(message)
            case "leave":
                self._names.leave(message)
            case "names":
                self._names.replace(message)
            case "stop":
                self._loop.stop()
            case other:
                raise ValueError(f"unknown request {other!r}")
        return None

    # -- endpoints -----------------------------------------------------------------------------------------------

    def _publish(self, message: dict[str, Any], descriptors: list[int]) -> None:
        """Takes over `descriptors` one by one; what is left in the list is closed by the caller."""
        guarded = self._guarded.setdefault(message["id"], Guarded(message["target6"] or message["target"]))
        for protocol, host, _, port in message["ports"]:
            sock = socket.socket(fileno=descriptors.pop(0))
            self._hold(guarded, sock, protocol if ":" in host else "", port)
        for map_name, key in message["elements"]:
            guarded.elements.append((map_name, Element(tuple(bytes.fromhex(field) for field in key))))
        if message.get("monitor"):
            guarded.monitor = descriptors.pop(0)
            self._loop.watch(guarded.monitor, READ, lambda _: self._monitor_ended(message["id"]))

    def _move(self, old: str, new: str, target: str) -> None:
        """Another endpoint of the sandbox has the ports now; their elements have the keys of before."""
        guarded = self._guarded.pop(old, None)
        if guarded is None:
            return
        self._guarded[new] = guarded
        guarded.target = target
        for relay in guarded.relays:
            relay.lead(target)
        if guarded.monitor >= 0:
            self._loop.unwatch(guarded.monitor)
            self._loop.watch(guarded.monitor, READ, lambda _: self._monitor_ended(new))

    def _hold(self, guarded: Guarded, sock: socket.socket, relayed: str, port: int) -> None:
        target = (guarded.target, port)
        try:
            if relayed == "tcp":
                guarded.relays.append(TcpListener(self._loop, sock, target, self._budget))
            elif relayed == "udp":
                guarded.relays.append(UdpRelay(self._loop, sock, target))
            else:
                guarded.held.append(sock)
        except OSError:
            sock.close()
            raise

    def _monitor_ended(self, name: str) -> None:
        for map_name, element in self._guarded[name].elements:
            try:
                self._nft.discard(map_name, [element])  # wharfd may have been quicker, or the table is gone
            except OSError as error:
                print(f"netd: cannot remove a port of {name[:12]}: {error}", file=sys.stderr, flush=True)
        self._drop(name)

    def _drop(self, name: str) -> None:
        guarded = self._guarded.pop(name, None)
        if guarded is None:
            return
        for relay in guarded.relays:
            relay.close()
        for sock in guarded.held:
            sock.close()
        if guarded.monitor >= 0:
            self._loop.unwatch(guarded.monitor)
            os.close(guarded.monitor)
        self._end_if_lonely_soon()

    def _end_if_lonely_soon(self) -> None:
        if self._is_lonely():
            self._loop.later(_LONELY_SECONDS, self._end_if_lonely)

    def _end_if_lonely(self) -> None:
        if self._is_lonely():
            self._loop.stop()

    def _is_lonely(self) -> bool:
        return not self._guarded and not self._clients and not self._names.sandboxes()


def _descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one and return it."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main(table: str) -> None:
    """Run with the listening seqpacket socket as descriptor 3."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # What wharfd itself was started with (a shell's pipe, say) must not be held open by what outlives it.
    os.closerange(LISTENING_DESCRIPTOR + 1, _descriptor_limit())
    with open("/proc/self/comm", "w") as comm:
        comm.write("wharf-netd")
    Server(socket.socket(fileno=LISTENING_DESCRIPTOR), table).run()
