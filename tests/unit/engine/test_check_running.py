"""A record and what runs, said differently: each way is named, and the host is believed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wharf.engine.check_running import check_running
from wharf.engine.container import Container
from wharf.spec.container import ContainerConfig, ContainerRecord, HostConfig
from wharf.storage.metadata import Database


class Process:
    """What runs, as far as a check looks at it."""

    pid, start_time = 42, 7

    def __init__(self, frozen: bool = False) -> None:
        self.frozen = frozen

    def over(self) -> bool:
        return False

    def paused(self) -> bool:
        return self.frozen


@pytest.mark.parametrize(
    ("state", "process", "found", "after"),
    [
        ({"running": True, "pid": 42}, Process(), [], None),
        ({}, None, [], None),
        ({"running": True, "restarting": True}, None, [], None),
        ({"running": True, "pid": 42}, None, ["its record says that it runs, and nothing does"], None),
        ({}, Process(), ["it runs, and its record does not say so"], (True, False, 42)),
        ({"running": True, "paused": True}, Process(), ["its record says that it is paused, and its processes are not "
         "frozen"], (True, False, 42)),
        ({"running": True}, Process(True), ["its record says that it runs, and its processes are frozen"],
         (True, True, 42)),
    ],
)  # fmt: skip
def test_what_is_said_and_what_runs(
    tmp_path: Path, state: dict[str, Any], process: Any, found: list[str], after: tuple[bool, bool, int] | None
) -> None:
    database = Database(str(tmp_path / "db"))
    supervisor = SimpleNamespace(dead_execs=lambda container: [])
    engine: Any = SimpleNamespace(database=database, supervisor=supervisor, host=SimpleNamespace(boot_id="boot"))
    record = ContainerRecord("a" * 64, "box", "", "sha256:" + "0" * 64, ContainerConfig(cmd=["sh"]), HostConfig())
    for name, value in state.items():
        setattr(record.state, name, value)
    container = Container(record)
    container.running = process
    database.containers.put(record)
    findings = list(check_running(engine, container))
    assert [finding.problem for finding, _ in findings] == found
    if after is not None:
        (mend,) = (mend for _, mend in findings)
        assert mend is not None
        mend()
        assert (record.state.running, record.state.paused, record.state.pid) == after
        assert list(check_running(engine, container)) == []
    database.close()
