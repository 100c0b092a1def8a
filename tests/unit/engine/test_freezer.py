"""Who keeps a container frozen: commits hold it still, its user pauses it, and neither thaws what is the other's."""

import errno
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wharf.engine.container import Container
from wharf.engine.engine import Engine
from wharf.engine.freezer import held_still
from wharf.engine.pause import pause_container, unpause_container
from wharf.engine.restore import _still_paused
from wharf.engine.stop import thaw
from wharf.errors import Unavailable
from wharf.spec.container import ContainerConfig, ContainerRecord, ContainerState, HostConfig

ID = "5f" * 32


class Run:
    """What runs, as far as it can be frozen."""

    def __init__(self) -> None:
        self.frozen = self.gone = False

    def pause(self) -> None:
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, "no such cgroup")
        self.frozen = True

    def resume(self) -> None:
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, "no such cgroup")
        self.frozen = False

    def paused(self) -> bool:
        return self.frozen


@pytest.fixture
def container() -> Container:
    state = ContainerState(running=True)
    made = Container(ContainerRecord(ID, "held", "", "", ContainerConfig(), HostConfig(), state=state))
    made.running = cast(Any, Run())
    return made


@pytest.fixture
def engine(container: Container) -> Engine:
    """As much of one as a pause touches."""
    found: Any = SimpleNamespace(
        containers=SimpleNamespace(live=lambda name: container),
        database=SimpleNamespace(containers=SimpleNamespace(put=lambda record, durable: None)),
        events=SimpleNamespace(publish=lambda *_: None),
    )
    return cast(Engine, found)


def frozen(container: Container) -> bool:
    assert container.running is not None
    return container.running.paused()


def test_the_last_of_two_thaws(container: Container) -> None:
    first, second = held_still(container), held_still(container)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert frozen(container)
    second.__exit__(None, None, None)
    assert not frozen(container)
    assert not container.held


def test_no_exec_starts_meanwhile(container: Container) -> None:
    with held_still(container):
        with pytest.raises(Unavailable, match="committed, try again"), container.gate.enter(0.01):
            pass
        assert frozen(container)
    with container.gate.enter(0.01):
        pass


def test_what_its_user_pauses_meanwhile_stays_frozen(container: Container, engine: Engine) -> None:
    with held_still(container):
        pause_container(engine, ID)
    assert frozen(container)
    assert container.record.state.paused


@pytest.mark.parametrize("before", [True, False])
def test_what_its_user_resumes_meanwhile_is_held_still(container: Container, engine: Engine, before: bool) -> None:
    if before:
        pause_container(engine, ID)
    with held_still(container):
        if not before:
            pause_container(engine, ID)
        unpause_container(engine, ID)
        assert frozen(container)
        assert not container.record.state.paused
    assert not frozen(container)


def test_a_signal_is_heard_all_the_same(container: Container, engine: Engine) -> None:
    with held_still(container):
        thaw(engine, container)
        assert not frozen(container)


def test_an_end_and_another_run_are_left_alone(container: Container) -> None:
    with held_still(container):
        ended, container.running = container.running, cast(Any, Run())
        cast(Any, ended).gone = True
        cast(Any, container.running).frozen = True
    assert frozen(container)
    container.running = ended
    with held_still(container):
        pass
    container.running = None
    with held_still(container):
        pass


@pytest.mark.parametrize(("recorded", "found"), [(True, True), (False, False)])
def test_what_nobody_paused_is_thawed_at_start(container: Container, recorded: bool, found: bool) -> None:
    """A commit that was cut had it held still."""
    assert container.running is not None
    container.running.pause()
    container.record.state.paused = recorded
    assert _still_paused(container.record, container.running) is found
    assert frozen(container) is found
