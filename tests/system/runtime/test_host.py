"""The same containers on hosts that can do less: features are switched off in `Host`, never in the kernel."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.system.runtime.conftest import Lab
from wharf.runtime.supervisor import Supervisor


@pytest.fixture(params=["overlay_lowerdir_append", "mknod"])
def lesser(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Lab]:
    full = lab.supervisor
    lab.supervisor = Supervisor(lab.exec_root, lab.data_root, replace(lab.host, **{request.param: False}))
    lab.supervisor.start()
    yield lab
    lab.supervisor.close()
    lab.supervisor = full


def test_a_container_is_the_same(lesser: Lab) -> None:
    out = lesser.shell(
        "touch /new && ls /new; for d in null zero full random urandom tty; do ls -l /dev/$d; done; echo x > /dev/null"
    )
    lines = out.splitlines()
    assert lines[0] == "/new"
    numbers = ["1,   3", "1,   5", "1,   7", "1,   8", "1,   9", "5,   0"]
    assert [
        line.startswith("crw-rw-rw-") and number in line for line, number in zip(lines[1:], numbers, strict=True)
    ] == [True] * 6


def test_without_cgroups_it_still_starts(lab: Lab) -> None:
    full = lab.supervisor
    lab.supervisor = Supervisor(lab.exec_root, lab.data_root, replace(lab.host, cgroup_mounts={}))
    lab.supervisor.start()
    try:
        assert lab.shell("echo fine") == "fine\n"
        running = lab.start(["sleep", "1000"])
        assert running.pids() == [running.pid]
        running.kill_all()
        record = running.wait(10)
        assert record is not None and record.code == 137
    finally:
        lab.supervisor.close()
        lab.supervisor = full
