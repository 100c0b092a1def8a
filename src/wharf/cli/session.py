"""What one run of `wharf` carries along: the global options, the client, and how results and errors are shown."""

from __future__ import annotations

import sys

from wharf.errors import WharfError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wharf.client.address import Address
    from wharf.client.api import Client


class ExitWith(WharfError):
    """Ends the command with a status and a message that is complete (may be empty)."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Session:
    """One run of `wharf`; the global options are set by main."""

    def __init__(self) -> None:
        self.host = ""
        self.context = ""
        self.config = ""
        self.log_level = ""
        self.debug = False
        self.tls: dict[str, str] = {}
        self._client: Client | None = None

    def client(self) -> Client:
        """The client of the chosen daemon; a private one is started when none was chosen and none answers."""
        if self._client is None:
            from wharf.client.api import Client
            from wharf.client.http import ConnectFailed

            address = self.address()
            client = Client(address)
            try:
                client.connect()
            except ConnectFailed:
                if address.named:
                    raise
                from wharf.cli.autostart import start

                start(address)
                client.connect()
            self._client = client
        return self._client

    def address(self) -> Address:
        """The address of the chosen daemon; raises Invalid."""
        from wharf.client import address as addresses

        return addresses.find(self.host, self.context, self.config, self.tls)

    def write(self, text: str) -> None:
        """Text on standard output, as it is (bytes that were not UTF-8 come out as they came in)."""
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))

    def line(self, text: str) -> None:
        """A line on standard output."""
        self.write(text + "\n")

    def complain(self, text: str) -> None:
        """A line on standard error, after what standard output has."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def report(self, error: WharfError, prefix: str = "") -> int:
        """Shows an error as docker does; the exit status."""
        if error.message:
            self.complain(prefix + self.words(error))
        return int(getattr(error, "status", 1)) if not hasattr(error, "from_daemon") else 1

    def words(self, error: WharfError) -> str:
        """The error's text; a refusal of the daemon says so."""
        from_daemon = hasattr(error, "from_daemon")
        return f"Error response from daemon: {error.message.strip()}" if from_daemon else error.message

    def each(self, names: list[str], action: Callable[[str], Any], show: bool = True) -> int:
        """Does the action for every name, prints those that went well, complains about the others; status 1 then."""
        status = 0
        for name in names:
            try:
                action(name)
            except WharfError as error:
                if not hasattr(error, "from_daemon"):
                    raise
                self.complain(self.words(error))
                status = 1
            else:
                if show:
                    self.line(name)
        return status
