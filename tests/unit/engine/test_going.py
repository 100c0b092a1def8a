"""A container that is being removed is not committed or exported; Docker's words."""

import pytest

from wharf.engine.status import refuse_going
from wharf.errors import Conflict
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
