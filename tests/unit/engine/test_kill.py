"""What comes after SIGKILL: the container's end, or after its whole cgroup was killed the news that it did not end."""

from collections.abc import Iterator
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wharf.engine import stop
from wharf.engine.container import Container
from wharf.engine.engine import Engine
from wharf.engine.loop import EngineLoop, resolve
from wharf.errors import Internal

SECONDS = 10


@pytest.fixture
def engine() -> Iterator[Engine]:
    loop = EngineLoop(None, workers=1)
    yield cast(Engine, SimpleNamespace(loop=loop))
    loop.close()


def container(on_kill: Any) -> Container:
    return cast(Container, SimpleNamespace(stopped=Future(), running=SimpleNamespace(kill_all=on_kill)))


def test_what_does_not_end_is_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "KILL_GRACE", 0.01)
    monkeypatch.setattr(stop, "GIVE_UP", 0.01)
    killed: list[bool] = []
    waited = stop.await_kill(engine, container(lambda: killed.append(True)), "cannot kill container: x: ")
    with pytest.raises(Internal, match=r"^cannot kill container: x: tried to kill container, but did not receive"):
        waited.result(SECONDS)
    assert killed == [True]


def test_the_whole_cgroup_is_killed_when_the_first_process_stays(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "KILL_GRACE", 0.01)
    stays = container(lambda: resolve(stays.stopped))
    assert stop.await_kill(engine, stays, "").result(SECONDS) is None


def test_an_end_is_no_failure(engine: Engine) -> None:
    ends = container(lambda: None)
    waited = stop.await_kill(engine, ends, "")
    assert not waited.done()
    resolve(ends.stopped)
    assert waited.result(SECONDS) is None
