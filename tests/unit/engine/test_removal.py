"""Between an order and its end: nothing starts a container that is being removed by force, nobody is told that it went
when it runs, and one with AutoRemove outlives a restart, and only that."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wharf.engine import restart
from wharf.engine.container import Container, Containers
from wharf.engine.exit import finish_run
from wharf.engine.loop import EngineLoop, resolve
from wharf.engine.remove import remove_container, remove_now
from wharf.engine.restart import restart_container
from wharf.engine.start import start_container
from wharf.errors import Conflict, WharfError
from wharf.runtime.requests import ExitRecord
from wharf.spec.container import ContainerConfig, ContainerRecord, ContainerState, HostConfig
from wharf.storage.metadata import Database

ID = "5f" * 32
SECONDS = 10.0
MARKED = "^container is marked for removal and cannot be started$"
IN_PROGRESS = "^removal of container web is already in progress$"


class Run:
    """What runs; it takes signals and says nothing."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def signal(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """As much of one as ends and removals touch."""
    database, loop = Database(str(tmp_path / "wharf.db")), EngineLoop(None, workers=2)
    yield SimpleNamespace(
        database=database,
        loop=loop,
        closing=False,
        containers=Containers(),
        events=SimpleNamespace(publish=lambda *_: None),
        network=SimpleNamespace(),
        supervisor=SimpleNamespace(forget=lambda container: None),
        snapshots=SimpleNamespace(remove=lambda key: None),
        trash=SimpleNamespace(discard=lambda path: None),
        directory=lambda container: str(tmp_path / container),
        images=SimpleNamespace(operations=SimpleNamespace(request_sweep=lambda: None)),
    )
    loop.close()
    database.close()


@pytest.fixture
def container(engine: Any) -> Container:
    record = ContainerRecord(ID, "web", "", "", ContainerConfig(), HostConfig(), state=ContainerState(running=True))
    made = Container(record)
    made.running = Run()  # type: ignore[assignment]
    engine.database.containers.put(record)
    engine.containers.add(made)
    return made


def ends(container: Container) -> None:
    """Its run is over and recorded; who waits for that has not heard of it."""
    container.running, container.record.state.running = None, False


def test_what_is_killed_to_be_removed_is_not_started_meanwhile(engine: Any, container: Container) -> None:
    removed = remove_container(engine, "web", force=True)
    for force in (True, False):
        with pytest.raises(Conflict, match=IN_PROGRESS):
            remove_container(engine, "web", force=force)
    ends(container)
    for start in (start_container, restart_container):
        with pytest.raises(Conflict, match=MARKED):
            start(engine, "web")
    assert container.record.manually_stopped
    assert not removed.done()
    resolve(container.stopped)
    removed.result(SECONDS)
    assert not list(engine.containers) and not engine.database.containers.all()


def test_a_restart_that_a_removal_overtakes_does_not_start(engine: Any, container: Container) -> None:
    restarted = restart_container(engine, "web")
    removed = remove_container(engine, "web", force=True)
    finish_run(engine, container, container.running, ExitRecord(137, finished_at=0))
    with pytest.raises(WharfError, match=r"^Cannot restart container web: container is marked for removal"):
        restarted.result(SECONDS)
    removed.result(SECONDS)
    assert not list(engine.containers)


def test_what_runs_is_not_called_removed(engine: Any, container: Container) -> None:
    with pytest.raises(Conflict, match=r'^cannot remove container "web": container is running'):
        remove_now(engine, container, volumes=False).result(SECONDS)
    ends(container)
    remove_now(engine, container, volumes=False).result(SECONDS)
    assert not list(engine.containers)


def test_who_gives_up_a_removal_stops_nobody_else(engine: Any, container: Container) -> None:
    given_up = remove_container(engine, "web", force=True)
    other = remove_now(engine, container, volumes=False)
    assert given_up.cancel()
    finish_run(engine, container, container.running, ExitRecord(137, finished_at=0))
    assert other.result(SECONDS) is None


def test_an_automatic_removal_outlives_restarts_at_once(
    engine: Any, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: Any, again: Container) -> None:
        again.running, again.record.state.running = Run(), True  # type: ignore[assignment]

    monkeypatch.setattr(restart, "start_locked", start)
    container.record.host_config.auto_remove = True
    restarted = [restart_container(engine, "web") for _ in range(2)]
    (stored,) = engine.database.containers.all()
    assert stored.host_config.auto_remove  # a crash now still finds what was promised
    finish_run(engine, container, container.running, ExitRecord(143, finished_at=0))
    for future in restarted:
        future.result(SECONDS)
    assert container.running is not None and container.coming_back == 0
    assert list(engine.containers) == [container]
    finish_run(engine, container, container.running, ExitRecord(0, finished_at=0))
    assert not list(engine.containers)
