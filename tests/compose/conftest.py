"""What the tests of Compose share."""

from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """An engine with busybox."""
    with Wharfd() as started:
        started.load_busybox()
        yield started
