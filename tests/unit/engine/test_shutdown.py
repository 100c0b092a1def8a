"""Whether the end of wharfd is the end of its containers: live-restore, and a machine that goes down."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wharf.engine.engine import Engine
from wharf.engine.shutdown import takes_containers
from wharf.kernel import dbus
from wharf.runtime import scopes

RETURN, REPLY_TO = 2, 5


def engine(live_restore: bool) -> Engine:
    return cast(Engine, SimpleNamespace(config=SimpleNamespace(live_restore=live_restore)))


def answer(listener: socket.socket, state: str, asked: list[bytes]) -> None:
    """Be systemd for one errand: authentication, one call, one reply."""
    client, _ = listener.accept()
    with client:
        data = b""
        while b"\r\n" not in data:
            data += client.recv(4096)
        client.sendall(b"OK 0123456789abcdef\r\n")
        data = b""
        while b"SystemState" not in data:
            data += client.recv(4096)
        asked.append(data)
        client.sendall(dbus.message(RETURN, 1, [(REPLY_TO, ("u", 1))], "v", [("s", state)]))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(scopes, "PRIVATE", str(tmp_path / "private"))
    monkeypatch.setattr(scopes, "SYSTEM", str(tmp_path / "bus"))
    asked: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:

        def says(state: str) -> list[bytes]:
            listener.bind(str(tmp_path / "private"))
            listener.listen()
            threading.Thread(target=answer, args=(listener, state, asked), daemon=True).start()
            return asked

        yield says


def test_without_live_restore_containers_end(systemd: Any) -> None:
    assert takes_containers(engine(False))


def test_with_it_they_go_on_where_nobody_says_more(systemd: Any) -> None:
    assert not takes_containers(engine(True))


@pytest.mark.parametrize(("state", "ends"), [("running", False), ("degraded", False), ("stopping", True)])
def test_a_machine_that_goes_down_takes_them(systemd: Any, state: str, ends: bool) -> None:
    asked = systemd(state)
    assert takes_containers(engine(True)) is ends
    assert b"org.freedesktop.DBus.Properties" in asked[0] and b"Get" in asked[0]
