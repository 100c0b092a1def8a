"""Every directory of tests is one that pytest looks into, but for those that a target of its own names."""

import os
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN_TARGET = {"dist"}
"""`make test-dist`."""


def test_nothing_is_left_out(request: pytest.FixtureRequest) -> None:
    patterns = request.config.getini("norecursedirs")
    found = {name for _, names, files in os.walk(ROOT) for name in names if not name.startswith((".", "__"))}
    assert {"build", "unit", "system"} <= found
    assert {name for name in found if any(fnmatch(name, pattern) for pattern in patterns)} == OWN_TARGET
