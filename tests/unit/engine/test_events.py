"""Events: their shape, filters, times."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from wharf.engine.events import RING, Event, EventBus, make_event, matches, parse_stamp
from wharf.engine.loop import EngineLoop
from wharf.errors import Internal

ATTRIBUTES = {"name": "web", "image": "box:1", "tier": "front"}


@pytest.fixture
def bus() -> Iterator[EventBus]:
    loop = EngineLoop(None, workers=1)
    yield EventBus(loop)
    loop.close()


def event(action: str = "start", kind: str = "container") -> Event:
    return make_event(kind, action, "abcdef", ATTRIBUTES, 1_700_000_000_123_456_789)


def test_a_container_event_has_the_old_fields_too() -> None:
    made = event()
    assert list(made) == ["status", "id", "from", "Type", "Action", "Actor", "scope", "time", "timeNano"]
    assert (made["from"], made["time"], made["timeNano"]) == ("box:1", 1_700_000_000, 1_700_000_000_123_456_789)
    assert list(event(kind="network")) == ["Type", "Action", "Actor", "scope", "time", "timeNano"]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"type": ["container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["start", "stop"]}, True),
        ({"event": ["stop"]}, False),
        ({"container": ["abc"]}, True),
        ({"container": ["web"]}, True),
        ({"container": ["other"]}, False),
        ({"image": ["box"]}, True),
        ({"image": ["box:2"]}, False),
        ({"label": ["tier"]}, True),
        ({"label": ["tier=front", "name"]}, True),
        ({"label": ["tier=back"]}, False),
        ({"nosuch": ["x"]}, True),
    ],
)
def test_filters(filters: dict[str, list[str]], wanted: bool) -> None:
    assert matches(filters, event()) is wanted


def test_an_event_filter_takes_the_word_before_the_colon() -> None:
    assert matches({"event": ["exec_create"]}, event("exec_create: ls -l"))


def test_stamps() -> None:
    assert parse_stamp("") is None
    assert parse_stamp("12.5") == 12_500_000_000
    with pytest.raises(Internal, match=r'strconv\.ParseInt: parsing "abc": invalid syntax'):
        parse_stamp("abc")


def test_the_ring_gives_what_was(bus: EventBus) -> None:
    for number in range(RING + 10):
        bus.publish("container", "start", f"id{number}", {})
    past = bus.subscribe({}, "0", str(time.time()), lambda _: None)
    assert [item["Actor"]["ID"] for item in past.backlog] == [f"id{number}" for number in range(10, RING + 10)]
    assert past.ended is not None
    assert past.ended.done()


def test_a_subscriber_hears_on_the_loop_and_in_order(bus: EventBus) -> None:
    heard: list[tuple[str, bool]] = []
    ready = threading.Event()

    def deliver(item: Event) -> None:
        heard.append((item["Action"], asyncio.get_running_loop() is not None))
        if len(heard) == 2:
            ready.set()

    subscription = bus.subscribe({"type": ["container"]}, "", "", deliver)
    bus.publish("container", "create", "x", {})
    bus.publish("volume", "create", "x", {})
    bus.publish("container", "start", "x", {})
    assert ready.wait(5)
    subscription.close()
    bus.publish("container", "die", "x", {})
    assert heard == [("create", True), ("start", True)]
    assert bus.listeners == 0
