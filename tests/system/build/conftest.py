"""A daemon for each module of builds, with busybox loaded."""

import os
from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """What `wharf build` keeps for its user is kept beside the daemon, and goes with it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Wharfd() as running:
        running.load_busybox()
        running.environment["XDG_CACHE_HOME"] = f"{running.root}/cache"
        yield running
