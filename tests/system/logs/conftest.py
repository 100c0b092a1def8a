"""One daemon for the tests of log drivers; receivers are made by the tests and listen in its network namespace."""

from collections.abc import Iterator

import pytest

from tests.support.wharfd import Wharfd
from tests.system.api.raw import Client
from tests.system.facts.conftest import Engine, V


@pytest.fixture(scope="module")
def daemon() -> Iterator[Wharfd]:
    """A daemon for the tests of a module."""
    with Wharfd() as made:
        made.load_busybox()
        yield made


@pytest.fixture
def engine(daemon: Wharfd) -> Iterator[Engine]:
    """The daemon by its API; its containers are removed after a test."""
    found = Engine(daemon, Client(daemon.socket))
    yield found
    for item in found.get("/containers/json?all=1").json():
        answer = found.api.ask("DELETE", f"{V}/containers/{item['Id']}?force=1&v=1")
        assert answer.status in (204, 404), answer
