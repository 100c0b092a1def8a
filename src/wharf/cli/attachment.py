"""A container's streams at this end, from attach to its exit status; what run, start and attach share."""

from __future__ import annotations

from wharf.cli import streams
from wharf.client.api import query
from wharf.client.http import Response
from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wharf.client.api import Client


class Waiter:
    """An open `wait` request: sent before start, so that no exit is missed."""

    def __init__(self, client: Client, container: str, condition: str) -> None:
        self._response: Response = client.request(
            "POST", f"/containers/{container}/wait" + query({"condition": condition})
        )

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._response.connection.close()

    def status(self) -> int:
        """Waits for the exit; the status, or WharfError with the daemon's reason."""
        answer = self._response.json()
        error = answer.get("Error") or {}
        if error.get("Message"):
            raise WharfError(f"Error waiting for container: {error['Message']}")
        return int(answer.get("StatusCode", 125))


class Attachment:
    """The hijacked stream of one container; closes its connection at the end of a `with`."""

    def __init__(
        self,
        client: Client,
        container: str,
        *,
        tty: bool,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        detach_keys: str = "",
    ) -> None:
        self._client = client
        self._container = container
        self._tty = tty
        self._stdin = stdin
        self._keys = detach_keys or streams.DEFAULT_DETACH_KEYS
        parameters = {"detachKeys": detach_keys, "stream": True, "stdin": stdin, "stdout": stdout, "stderr": stderr}
        self._connection, _ = client.hijack(f"/containers/{container}/attach" + query(parameters))

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()

    def waiting(self, condition: str) -> Waiter:
        """Opens the wait request."""
        return Waiter(self._client, self._container, condition)

    def pump(self, redraw: bool = False) -> bool:
        """Copies both ways until the end; True when the user detached. The container runs by now.

        `redraw` changes the terminal's size for a moment, so that a program that runs already shows itself again.
        """
        size = streams.terminal_size()
        if self._tty and size:
            from wharf.cli.signals import follow_window

            if redraw:
                parameters = query({"h": size[0] + 1, "w": size[1] + 1})
                self._client.post(f"/containers/{self._container}/resize{parameters}")
            follow_window(self._client, f"/containers/{self._container}")
        with streams.RawTerminal(self._tty and self._stdin):
            return streams.pump(self._connection, tty=self._tty, stdin=self._stdin, detach_keys=self._keys)
