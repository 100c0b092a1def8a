"""`--ssh`: this user's SSH agent, for the steps of one build and nothing else.

The engine asks over a connection of its own, one message of the agent's protocol (draft-miller-ssh-agent) at a time:
four bytes of length, then the message; the answer goes back likewise. Keys do not leave the agent.
"""

from __future__ import annotations

import contextlib
import os
import threading

from wharf.cli.session import ExitWith
from wharf.client.api import query

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from wharf.cli.session import Session
    from wharf.client.http import Connection

MAX_MESSAGE = 256 << 10
AGENT_START_SECONDS = 10.0


@contextlib.contextmanager
def forwarded(session: Session, given: list[str]) -> Iterator[str]:
    """What the query of the build says of agents (its beginning is `&`); the agents answer within the `with`."""
    if not given:
        yield ""
        return
    session_id = os.urandom(16).hex()
    with contextlib.ExitStack() as stack:
        names: list[str] = []
        for text in given:
            name, _, path = text.partition("=")
            path = path or os.environ.get("SSH_AUTH_SOCK", "")
            if not path:
                raise ExitWith("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set")
            if all(os.path.isfile(word) for word in path.split(",")):
                path = stack.enter_context(_agent_of(path.split(",")))
            _connected(path).close()
            names.append(name or "default")
            connection, _ = session.client().hijack(
                "/wharf/v1/build/agent" + query({"session": session_id, "id": names[-1]})
            )
            stack.callback(_hang_up, connection)
            threading.Thread(target=_serve, args=(connection, path), daemon=True).start()
        yield query({"agents": session_id, "agent": ",".join(names)}).replace("?", "&", 1)


def _hang_up(connection: Connection) -> None:
    with contextlib.suppress(OSError):
        connection.sock.shutdown(2)
    connection.close()


@contextlib.contextmanager
def _agent_of(keys: list[str]) -> Iterator[str]:
    """An agent that has these private keys and nothing else: its socket, within the `with`."""
    import subprocess
    import tempfile
    import time

    with tempfile.TemporaryDirectory(prefix="wharf-agent-") as directory:
        path = os.path.join(directory, "socket")
        try:
            agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            raise ExitWith("a key file needs ssh-agent (openssh-client), or name an agent's socket") from None
        try:
            until = time.monotonic() + AGENT_START_SECONDS
            while not os.path.exists(path) and agent.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            for key in keys:
                environment = {**os.environ, "SSH_AUTH_SOCK": path, "SSH_ASKPASS_REQUIRE": "never"}
                done = subprocess.run(
                    ["ssh-add", "-q", "--", key], env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                    check=False, start_new_session=True,
                )  # fmt: skip
                if done.returncode:
                    raise ExitWith(f"failed to parse {key}: {done.stderr.decode(errors='replace').strip()}")
            yield path
        finally:
            agent.terminate()
            agent.wait()


def _connected(path: str) -> socket.socket:
    import socket

    agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        agent.connect(path)
    except OSError as error:
        agent.close()
        raise ExitWith(f"failed to connect to the ssh agent at {path}: {error.strerror}") from None
    return agent


def _serve(connection: Connection, path: str) -> None:
    """Until the engine hangs up: its questions to the agent, each on a connection that lasts as long."""
    with contextlib.suppress(OSError, ExitWith), _connected(path) as agent:
        while True:
            question = _message(connection.receive)
            if question is None:
                return
            agent.sendall(question)
            answer = _message(agent.recv)
            if answer is None:
                return
            connection.sock.sendall(answer)


def _message(receive: object) -> bytes | None:
    """One message with its length; None at the end."""
    head = _exactly(receive, 4)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    body = _exactly(receive, size) if 0 < size <= MAX_MESSAGE else None
    return None if body is None else head + body


def _exactly(receive: object, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        piece = receive(size - len(data))  # type: ignore[operator]
        if not piece:
            return None
        data += piece
    return data
