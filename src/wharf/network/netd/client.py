"""wharfd's side of netd: find or start it, tell it what is published and who is called what."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from wharf.errors import Internal, Unavailable
from wharf.network.endpoint import SandboxTarget
from wharf.network.firewall import elements_of
from wharf.network.netd import messages
from wharf.network.netd.server import LISTENING_DESCRIPTOR
from wharf.spec.network import Endpoint, Resolver

_SOCKET, _LOG = "netd.sock", "netd.log"
_ANSWER_SECONDS = 5.0
_STOP_SECONDS = 3.0
_ENDPOINTS_PER_MESSAGE = 100
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from wharf.network.netd.server import main; main(sys.argv[2])"


class NetdClient:
    """One connection, used by several threads in turn. A netd that died is started again at the next request, empty:
    who watches `pidfd` tells it again what runs (engine/netd_guard.py)."""

    def __init__(self, exec_root: str, table: str, warn: Callable[[str], None]) -> None:
        self._root, self._table, self._warn = exec_root, table, warn
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._child = 0

    def restore(self, running: Sequence[Endpoint]) -> None:
        """Find the netd of before or start one, and let it drop what runs no more."""
        self._ask({"op": "keep", "ids": [endpoint.id for endpoint in running]})
        self._replace_names(running)

    def known(self) -> tuple[frozenset[str], frozenset[str]]:
        """Endpoints whose ports netd has, and sandboxes that it resolves names for."""
        answer = self._ask({"op": "hello"})
        return frozenset(answer.get("sandboxes", ())), frozenset(answer.get("resolvers", ()))

    def pidfd(self) -> int:
        """Of the netd that answers now, started if need be: the caller's to close. Raises OSError, Unavailable."""
        pid = self._ask({"op": "hello"}).get("pid", 0)
        if not pid:
            raise Unavailable("netd does not answer")
        descriptor = os.pidfd_open(pid)
        if self._ask({"op": "hello"}).get("pid") != pid:  # it ended, and the pid may be another's
            os.close(descriptor)
            raise ProcessLookupError("netd has ended")
        return descriptor

    def publish(self, endpoint: Endpoint, sockets: Sequence[socket.socket], monitor: int) -> None:
        """Hand over copies of the sockets, one for each port that has a host port, and of the monitor's pidfd (-1:
        none)."""
        elements = [
            [map_name, [field.hex() for field in element.key]]
            for map_name, found in elements_of(endpoint).items()
            for element in found
        ]
        bound = [port for port in endpoint.ports if port.host_port]
        step = messages.PORTS_PER_MESSAGE
        for start in range(0, max(len(bound), len(elements)), step):
            ports = bound[start : start + step]
            last = start + step >= max(len(bound), len(elements))
            descriptors = [sock.fileno() for sock in sockets[start : start + step]]
            watched = last and monitor >= 0
            message = {
                "op": "publish",
                "id": endpoint.id,
                **_targets(endpoint),
                "ports": [[p.port.protocol, p.host_ip, p.host_port, p.port.number] for p in ports],
                "elements": elements[start : start + step],
                "monitor": watched,
            }
            self._ask(message, [*descriptors, monitor] if watched else descriptors)

    def release(self, endpoint: Endpoint) -> None:
        """Its sockets are closed when this returns."""
        self._ask({"op": "release", "id": endpoint.id})

    def move(self, old: Endpoint, new: Endpoint) -> None:
        """What was held for one endpoint is held for another from now on, and relayed to its address."""
        self._ask({"op": "move", "id": old.id, "to": new.id, **_targets(new)})

    def resolve(self, resolver: Resolver, target: SandboxTarget) -> None:
        """Give the sandbox a resolver on 127.0.0.11, or the one it has new settings. Raises Internal."""
        message: dict[str, Any] = {
            "op": "resolve",
            "sandbox": resolver.sandbox_id,
            "networks": list(resolver.networks),
            "links": {alias: list(link) for alias, link in resolver.links.items()},
            "servers": list(resolver.servers),
            "forward": resolver.forward,
            "ndots": resolver.ndots,
            "monitor": target.monitor >= 0,
        }
        answer = self._ask(message, [target.netns] + ([target.monitor] if target.monitor >= 0 else []))
        if not answer.get("ok"):
            raise Internal(f"failed to set up container networking: resolver: {answer.get('error', 'netd is silent')}")

    def join(self, endpoint: Endpoint) -> None:
        """The names of an endpoint, from now on, in place of those it had."""
        if endpoint.names:
            self._ask({"op": "join", **_named(endpoint)})

    def leave(self, endpoint: Endpoint) -> None:
        """Its names are nobody's when this returns."""
        if endpoint.names:
            self._ask({"op": "leave", "id": endpoint.id})

    def _replace_names(self, running: Sequence[Endpoint]) -> None:
        endpoints = [_named(endpoint) for endpoint in running if endpoint.names]
        for start in range(0, max(len(endpoints), 1), _ENDPOINTS_PER_MESSAGE):
            last = start + _ENDPOINTS_PER_MESSAGE >= len(endpoints)
            part = endpoints[start : start + _ENDPOINTS_PER_MESSAGE]
            self._ask({"op": "names", "first": not start, "last": last, "endpoints": part})

    def close(self, stop: bool) -> None:
        """Leave netd to the next wharfd, or end it and wait for its end. Never raises."""
        with self._lock:
            if stop:
                with suppress(OSError, ValueError, Unavailable):  # it does not run: fine too
                    self._exchange({"v": messages.VERSION, "op": "stop"}, None, start=False)
                self._reap(time.monotonic() + _STOP_SECONDS)
                with suppress(OSError):
                    os.unlink(os.path.join(self._root, _SOCKET))
            self._disconnect()

    # -- inside --------------------------------------------------------------------------------------------------

    def _ask(self, message: dict[str, Any], descriptors: list[int] | None = None) -> dict[str, Any]:
        """Send and await the answer; {} and a warning when netd does not do it: IPv4 works without."""
        with self._lock:
            for attempt in (1, 2, 3):  # one that is dying may take a connection and answer no more
                try:
                    return self._exchange({"v": messages.VERSION, **message}, descriptors)
                except (OSError, ValueError, Unavailable) as error:
                    self._disconnect()
                    if attempt == 3 or isinstance(error, TimeoutError):
                        self._warn(f"netd does not answer ({message['op']}): {error}")
                        break
        return {}

    def _exchange(self, message: dict[str, Any], descriptors: list[int] | None, start: bool = True) -> dict[str, Any]:
        connection = self._connection or self._connect(start)
        messages.send(connection, message, descriptors)
        received = messages.receive(connection)
        if received is None:
            raise ConnectionResetError("netd ended")
        answer, _ = received
        if not answer.get("ok"):
            self._warn(f"netd refused: {answer.get('error')}")
        return answer

    def _connect(self, start: bool) -> socket.socket:
        """To the netd that runs, else to a new one. Through a descriptor of the directory: a path of any length."""
        directory = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            address = f"/proc/self/fd/{directory}/{_SOCKET}"
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            connection.settimeout(_ANSWER_SECONDS)
            try:
                connection.connect(address)
            except (ConnectionRefusedError, FileNotFoundError):
                if not start:
                    connection.close()
                    raise
                with suppress(FileNotFoundError):
                    os.unlink(_SOCKET, dir_fd=directory)
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
                    listening.bind(address)
                    os.chmod(_SOCKET, 0o600, dir_fd=directory)
                    listening.listen(16)
                    self._spawn(listening)
                connection.connect(address)
        finally:
            os.close(directory)
        self._connection = connection
        return connection

    def _spawn(self, listening: socket.socket) -> None:
        """Start netd; it accepts when it is ready, requests wait in the socket until then. Its messages go to a file:
        a pipe of wharfd's must not be held open by something that outlives it."""
        self._reap(time.monotonic())
        source = str(Path(__file__).resolve().parents[3])
        log = os.path.join(self._root, _LOG)
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, listening.fileno(), LISTENING_DESCRIPTOR),
        ]
        arguments = [sys.executable, "-I", "-S", "-c", _BOOT, source, self._table]
        try:
            self._child = os.posix_spawn(
                sys.executable,
                arguments,
                {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                file_actions=actions,
                setsid=True,
                setsigmask=(),
            )
        except OSError as error:
            raise Unavailable(f"cannot start netd: {error}") from error

    def _reap(self, deadline: float) -> None:
        """Collect our child; kill it if it has not ended by the deadline. A netd of an earlier wharfd is not ours."""
        while self._child:
            done, _ = os.waitpid(self._child, os.WNOHANG)
            if done:
                self._child = 0
            elif time.monotonic() > deadline:
                os.kill(self._child, signal.SIGKILL)
                deadline = float("inf")
            else:
                time.sleep(0.005)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _targets(endpoint: Endpoint) -> dict[str, str]:
    """Where host ports lead: IPv6 ones to the endpoint's IPv6 address if it has one."""
    v4, v6 = endpoint.address, endpoint.address6
    return {"target": str(v4.ip) if v4 else "", "target6": str(v6.ip) if v6 else ""}


def _named(endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint's names for a message."""
    return {
        "id": endpoint.id,
        "network": [endpoint.network_id, endpoint.network_name],
        "sandbox": endpoint.sandbox_id,
        "names": list(endpoint.names),
        "addresses": [str(address) for address in endpoint.addresses],
    }
