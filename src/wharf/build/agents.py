"""SSH agents of clients: each lends its own to its builds, over a connection that ends when it leaves.

Messages are those of the agent's protocol (draft-miller-ssh-agent-14, section 3): four bytes of length, one of type.
A step may ask for the identities and for signatures; whatever would change the agent is refused here.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Mapping

from wharf.build.request import Agent
from wharf.errors import Conflict, Invalid

MAX_MESSAGE = 256 << 10
MAX_AGENTS = 100
ANSWER_SECONDS = 120.0
"""A person may have to confirm the use of a key."""
_FAILURE = b"\x05"
_ALLOWED = frozenset((11, 13))
"""SSH_AGENTC_REQUEST_IDENTITIES, SSH_AGENTC_SIGN_REQUEST."""


class RemoteAgent:
    """One client's agent at the other end of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        sock.settimeout(ANSWER_SECONDS)

    def ask(self, request: bytes) -> bytes:
        """See Agent."""
        if not request or request[0] not in _ALLOWED:
            return _FAILURE
        with self._lock:
            send_message(self._sock, request)
            answer = read_message(self._sock)
        if answer is None:
            raise OSError("the client's agent is gone")
        return answer

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Agents:
    """The agents that clients lend now, by their session and their name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._agents: dict[tuple[str, str], RemoteAgent] = {}

    def lend(self, session: str, name: str) -> tuple[socket.socket, Callable[[], None]]:
        """The client's end of a new agent, and what takes the agent back. Raises Invalid, Conflict."""
        if not session or not name or len(session) > 100 or len(name) > 100:
            raise Invalid("an SSH agent needs a session and a name")
        ours, theirs = socket.socketpair()
        agent = RemoteAgent(ours)
        with self._lock:
            if (session, name) in self._agents or len(self._agents) >= MAX_AGENTS:
                ours.close()
                theirs.close()
                raise Conflict(f"an SSH agent {name} is lent already, or {MAX_AGENTS} others are")
            self._agents[session, name] = agent

        def taken_back() -> None:
            with self._lock:
                self._agents.pop((session, name), None)
            agent.close()

        return theirs, taken_back

    def of(self, session: str, names: str) -> Mapping[str, Agent]:
        """Those that a build asks for. Raises Invalid for one that nobody lends."""
        found: dict[str, Agent] = {}
        for name in (word for word in names.split(",") if word):
            with self._lock:
                agent = self._agents.get((session, name))
            if agent is None:
                raise Invalid(f"no SSH key {name!r} forwarded from the client")
            found[name] = agent
        return found


class AgentSocket:
    """A Unix socket at `path` where a step finds an agent, within a `with`; at most MAX_AGENTS talk at once."""

    def __init__(self, agent: Agent, path: str, mode: int, owner: tuple[int, int]) -> None:
        self._agent = agent
        self._talking: set[socket.socket] = set()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory, name = os.path.split(path)
        place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._server.bind(f"/proc/self/fd/{place}/{name}")  # a path may be longer than an address
        finally:
            os.close(place)
        os.chown(path, *owner)
        os.chmod(path, mode)
        self._server.listen(16)
        self._thread = threading.Thread(target=self._accept, name="build-agent", daemon=True)

    def __enter__(self) -> "AgentSocket":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for talk in list(self._talking):
            with contextlib.suppress(OSError):
                talk.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                talk, _ = self._server.accept()
            except OSError:
                return
            if len(self._talking) >= MAX_AGENTS:
                talk.close()
                continue
            self._talking.add(talk)
            threading.Thread(target=self._talk, args=(talk,), name="build-agent-talk", daemon=True).start()

    def _talk(self, talk: socket.socket) -> None:
        with talk, contextlib.suppress(OSError):
            while (request := read_message(talk)) is not None:
                send_message(talk, self._agent.ask(request))
        self._talking.discard(talk)


def read_message(sock: socket.socket) -> bytes | None:
    """One message without its length; None at the end, or for one that is too long."""
    head = _exactly(sock, 4)
    size = int.from_bytes(head, "big") if head else 0
    return _exactly(sock, size) if 0 < size <= MAX_MESSAGE else None


def send_message(sock: socket.socket, message: bytes) -> None:
    """One message with its length before it."""
    sock.sendall(len(message).to_bytes(4, "big") + message)


def _exactly(sock: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            return None
        data += piece
    return data
