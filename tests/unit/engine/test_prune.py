"""Prune of containers without a daemon."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from wharf.engine.prune_containers import prune_containers
from wharf.errors import Conflict, Invalid


def test_two_at_once() -> None:
    engine: Any = SimpleNamespace(pruning=threading.Lock())
    with engine.pruning:
        with pytest.raises(Conflict, match=r"^a prune operation is already running$"):
            prune_containers(engine, {})
        with pytest.raises(Invalid):  # a bad filter is told first
            prune_containers(engine, {"x": ["y"]})
