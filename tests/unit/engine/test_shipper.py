"""Shippers whose receiver does not answer."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wharf.engine.loop import EngineLoop
from wharf.engine.shipper import Policy, Shipper
from wharf.logdrivers.drivers import Driver, Retry
from wharf.logdrivers.transport import Address
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import LogEntry

SOON = 2.0
"""Seconds, far below what an attempt to connect may take."""


class Plain:
    """Lines as they are."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def encode(self, entry: LogEntry) -> list[bytes]:
        return [entry.line]


@pytest.fixture
def silent() -> Iterator[Address]:
    """A listener whose queue is full, so that the kernel drops who else knocks."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(2):
            knocking = socket.socket()
            knocking.setblocking(False)
            knocking.connect_ex(listener.getsockname())
            waiting.append(knocking)
        yield Address("tcp", f"127.0.0.1:{listener.getsockname()[1]}")
        for knocking in waiting:
            knocking.close()


def test_a_receiver_that_does_not_answer_costs_no_thread_of_the_pool(silent: Address, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text('{"log":"line\\n","stream":"stdout","time":"2026-01-02T03:04:05.000000001Z"}\n')
    loop = EngineLoop(None, workers=1)
    driver = Driver("plain", Plain(silent), Retry(0.05, 1.0), waits=True)
    shipper = Shipper(loop, LogReader(str(log)), driver, Policy(None, guarded=False), str(tmp_path / "cursor"))
    try:
        shipper.drain()
        begun = time.monotonic()
        for _ in range(3):  # turns of others, with the shipper's between them
            loop.pool.submit(time.monotonic).result(SOON)
        assert time.monotonic() - begun < SOON and not shipper.over.done()
        shipper.close()
        shipper.over.result(SOON)
    finally:
        shipper.close()
        loop.close()
