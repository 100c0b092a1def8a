"""Which tests run in the same worker: those of a file, of a scenario of the conformance table; probes stand alone.

xdist's own groups (`--dist loadgroup`) change node ids, which pytest 9 no longer lets them do.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

WITH = {"tests/system/recovery/test_kill.py": "tests/system/recovery/test_steps.py"}
"""Files of few tests that take minutes, with one of many tests: units go out by their number of tests, and one that
comes last leaves the other workers idle."""

_SCENARIO = re.compile(r"test_lines\.py::test_line\[(?P<name>.+?)-\d\d ")


def place_of(nodeid: str) -> str:
    """The unit that a test belongs to: its tests share fixtures and run one after another."""
    if found := _SCENARIO.search(nodeid):
        return found["name"]
    file = nodeid.partition("::")[0]
    return nodeid if "/probes/" in nodeid else WITH.get(file, file)


class ByPlace(LoadScopeScheduling):
    """Sends a whole unit to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return place_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByPlace | None:
    """Ours, unless another way was asked for than tools/test asks."""
    return ByPlace(config, log) if config.getvalue("dist") == "loadgroup" else None
