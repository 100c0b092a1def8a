"""A daemon for each module of tests, with busybox loaded."""

from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    with Wharfd() as started:
        started.load_busybox()
        yield started
