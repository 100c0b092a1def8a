"""What fails when a program runs already, and a disk that is full just then: nothing runs that is called stopped, every
end is heard of, and a restart policy goes on.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.busybox import docker_archive
from tests.support.wharfd import OWN_NETWORK, ROOT


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = str(tmp_path_factory.mktemp("failing"))
    command = [*OWN_NETWORK, sys.executable, "-m", "tests.system.engine.failing_session", place]
    done = subprocess.run(command, input=docker_archive("busybox:latest"), capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


pytestmark = pytest.mark.xdist_group("engine-failing")


def test_a_start_that_fails_late_leaves_nothing_running(seen: Any) -> None:
    found = seen["start"]
    assert found["said"] == "failed to create task for container: too many open files"
    assert found["after"] == [True, True, False, False, 128]
    assert found["again"] == [False, False, 137]
    assert seen["left"] == {"monitors": 0}


def test_what_runs_is_heard_of_though_it_could_not_be_stored(seen: Any) -> None:
    assert seen["stored"] == {"exec": [5, True], "code": 137, "state": [False, False, 137]}


def test_checks_go_on_and_a_stop_is_heard(seen: Any) -> None:
    assert seen["checks"] == {"came": True, "state": [False, False, 137]}


def test_a_restart_is_tried_until_there_is_room(seen: Any) -> None:
    assert seen["restart"] == {"came": True, "counted": True}
