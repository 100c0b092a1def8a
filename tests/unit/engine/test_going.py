"""A container that is being removed is not committed or exported, in Docker's words; who waits for it is told."""

from types import SimpleNamespace
from typing import Any

import pytest

from wharf.engine.container import Container, Containers, WaitResult
from wharf.engine.status import refuse_going
from wharf.engine.wait import wait_container
from wharf.errors import Conflict, NotFound
from wharf.spec.container import ContainerConfig, ContainerRecord, ContainerState, HostConfig

ID = "5f" * 32


def record(state: ContainerState) -> ContainerRecord:
    return ContainerRecord(
        ID, "gone", "2026-01-01T00:00:00Z", "sha256:" + ID, ContainerConfig(), HostConfig(), state=state
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [(ContainerState(dead=True), "is Dead"), (ContainerState(removal_in_progress=True), "is being removed")],
)
def test_what_goes_is_refused(state: ContainerState, words: str) -> None:
    with pytest.raises(Conflict, match=f"^You cannot export container {ID} which {words}$"):
        refuse_going(record(state), "export")


def test_what_stays_is_not() -> None:
    refuse_going(record(ContainerState(running=True)), "commit")


class Hesitant(Containers):
    """Gives a container to who asks for it, and lets it go before he has its lock."""

    def live(self, name: str) -> Container:
        found = super().live(name)
        with found.lock:
            self.discard(found)
        found.wake(WaitResult(0), "removed", "next-exit", "not-running")
        return found


@pytest.mark.parametrize("condition", ["removed", "next-exit"])
def test_a_wait_that_comes_as_it_goes_does_not_wait_for_ever(condition: str) -> None:
    containers = Hesitant()
    containers.add(Container(record(ContainerState(removal_in_progress=True))))
    engine: Any = SimpleNamespace(containers=containers)
    with pytest.raises(NotFound, match="No such container"):
        wait_container(engine, ID, condition)


def test_who_gave_up_waiting_is_dropped() -> None:
    containers = Containers()
    containers.add(container := Container(record(ContainerState(running=True))))
    engine: Any = SimpleNamespace(containers=containers)
    stays = wait_container(engine, ID)
    for _ in range(3):
        wait_container(engine, ID).cancel()
    asks = wait_container(engine, ID)
    assert [future for _, future in container.waiting] == [stays, asks]
