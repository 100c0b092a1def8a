"""Starts a private daemon where nobody named one and none answers at the default socket."""

from __future__ import annotations

import os
import sys
import time

from wharf.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wharf.client.address import Address


IDLE_SECONDS = 900
START_SECONDS = 30
_POLL_SECONDS = 0.02


def start(address: Address) -> None:
    """Starts `wharfd` at its default places in a session of its own and waits until it answers.

    Raises Unavailable with the end of its log when it does not come up. Two commands that come here at once start
    two daemons, of which one ends at the pidfile; both commands find the other.
    """
    directory = os.path.dirname(address.path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"no daemon answers at {address}, and none can be started: {directory}: {error.strerror}"
        ) from None
    log_path = directory + "/wharfd.log"
    begin = os.path.getsize(log_path) if os.path.exists(log_path) else 0
    sys.stderr.write(
        f"wharf: no daemon answers at {address}: starting a private one (it ends after {IDLE_SECONDS // 60} idle "
        f"minutes; log: {log_path})\n"
    )
    sys.stderr.flush()
    pid = _spawn(address.path, log_path)
    deadline = time.monotonic() + START_SECONDS
    status = None
    while time.monotonic() < deadline:
        if _answers(address):
            return
        if status is None:
            ended, code = os.waitpid(pid, os.WNOHANG)
            status = code if ended else None
            if ended:
                # Another command's daemon may be the one that answers in a moment.
                deadline = min(deadline, time.monotonic() + 1)
        time.sleep(_POLL_SECONDS)
    raise Unavailable(f"wharfd did not start; the end of {log_path}:\n{_tail(log_path, begin)}")


def _spawn(socket_path: str, log_path: str) -> int:
    """The daemon's pid. It gets no descriptor of ours but /dev/null and its log."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    program = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "wharfd")
    command = [program] if os.access(program, os.X_OK) else [sys.executable, "-m", "wharf.daemon"]
    command += ["-H", f"unix://{socket_path}", "--idle-timeout", str(IDLE_SECONDS)]
    try:
        return os.posix_spawn(
            command[0],
            command,
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
            setsid=True,
        )
    finally:
        os.close(null)
        os.close(log)


def _answers(address: Address) -> bool:
    from wharf.client.api import Client
    from wharf.errors import WharfError

    try:
        Client(address).request("GET", "/_ping").read_all()
    except (WharfError, OSError):
        return False
    return True


def _tail(path: str, begin: int, limit: int = 2000) -> str:
    """The end of what was logged since `begin`."""
    try:
        with open(path, "rb") as file:
            file.seek(begin)
            return file.read()[-limit:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
