"""The drivers that send a log away, by name; each is imported when a container first uses it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wharf.errors import Internal
from wharf.logdrivers.origin import Origin
from wharf.logdrivers.transport import Address
from wharf.runtime.logforms import LogEntry
from wharf.spec.quantities import parse_duration

FAILED = "failed to create task for container: failed to initialize logging driver: "
LONGEST_WAIT = 60.0


class Encoder(Protocol):
    """A driver's format."""

    @property
    def address(self) -> Address:
        """Where the messages go."""

    def encode(self, entry: LogEntry) -> list[bytes]:
        """The datagrams, or the pieces of the stream, of one entry."""


@dataclass(frozen=True, slots=True)
class Retry:
    """What follows when the receiver is not there: seconds before the first try, growth, and how many tries before
    what waits is given up (None: never)."""

    wait: float = 1.0
    factor: float = 1.5
    longest: float = LONGEST_WAIT
    tries: int | None = None

    def delay(self, failures: int) -> float:
        """Before the next try, after so many failures in a row (at least one)."""
        return min(self.longest, self.wait * self.factor ** min(failures - 1, 64))


@dataclass(frozen=True, slots=True)
class Driver:
    """One container's driver. `waits`: the container waits with it while the receiver is not there at all; with the
    others the log goes on without it and what rotates away is lost, where Docker loses every line."""

    name: str
    encoder: Encoder
    retry: Retry
    waits: bool
    chunk_of: Callable[[bytes], bytes] | None = None
    """The name that the receiver must answer for a message, where it must."""

    @property
    def address(self) -> Address:
        """Where the messages go."""
        return self.encoder.address

    def refusal(self, words: str) -> str:
        """Docker's words when the connection cannot be made."""
        if self.name == "gelf":
            return f"gelf: cannot connect to GELF endpoint: {self.address.target} {words}"
        return words


def driver_of(name: str, origin: Origin) -> Driver:
    """From checked options. Raises Internal where the host has no journal."""
    module = importlib.import_module(f"wharf.logdrivers.{name}")
    encoder = getattr(module, name)(origin)
    options = origin.options
    if name == "journald" and not os.path.exists(encoder.address.target):
        raise Internal(FAILED + "journald is not enabled on this host")
    if name == "fluentd":
        wait = parse_duration(options.get("fluentd-retry-wait") or "1s") / 1e9
        tries = int(options["fluentd-max-retries"]) if options.get("fluentd-max-retries") else None
        return Driver(
            name, encoder, Retry(max(0.001, wait), tries=tries), True, module.chunk_of if encoder.acks else None
        )
    if name == "gelf" and encoder.address.kind == "tcp":
        delay = float(options.get("gelf-tcp-reconnect-delay", "1"))
        return Driver(name, encoder, Retry(max(0.1, delay), 1.0), False)
    return Driver(name, encoder, Retry(longest=10.0), False)
