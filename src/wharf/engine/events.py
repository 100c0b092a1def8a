"""Events: what happened, in Docker's shape; a ring of the last ones, and subscribers on the loop."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from wharf.engine.loop import EngineLoop, Timer, done, resolve
from wharf.errors import Internal, Invalid

RING = 256
"""Events kept for `since`, as many as Docker keeps."""
_TIME = re.compile(r"(-?\d+)(?:\.(\d{1,9}))?\Z")
_OLD_FORM = ("container", "image")
_BY_ACTOR = frozenset(("container", "daemon", "network", "volume", "plugin", "service", "node", "secret", "config"))
Event = dict[str, Any]


@dataclass(eq=False)
class Subscription:
    """`backlog` comes first, then what `deliver` gets; `ended` resolves at `until`."""

    bus: "EventBus"
    filters: Mapping[str, list[str]]
    deliver: Callable[[Event], object]
    backlog: list[Event] = field(default_factory=list)
    ended: "Future[None] | None" = None
    timer: Timer | None = None

    def close(self) -> None:
        """No more events."""
        self.bus.unsubscribe(self)
        if self.timer is not None:
            self.timer.cancel()


class EventBus:
    """Publish from any thread; order is the order of publishing."""

    def __init__(self, loop: EngineLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._ring: deque[Event] = deque(maxlen=RING)
        self._subscribers: list[Subscription] = []

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._subscribers)

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str]) -> None:
        """Tell that something happened. `kind` is Docker's type: container, image, network, volume, …"""
        with self._lock:
            event = make_event(kind, action, actor_id, attributes, time.time_ns())
            self._ring.append(event)
            for subscriber in self._subscribers:
                if matches(subscriber.filters, event):
                    self._loop.call(subscriber.deliver, event)

    def subscribe(
        self, filters: Mapping[str, list[str]], since: str, until: str, deliver: Callable[[Event], object]
    ) -> Subscription:
        """Listen; `deliver` runs on the loop. Times are Unix seconds with an optional fraction, "" for none.

        Without `since` there is no backlog; with an `until` in the past nothing but it. Raises Internal
        for what is no time, and Invalid for times in the wrong order, as Docker does.
        """
        first, last = parse_stamp(since), parse_stamp(until)
        if first is not None and last is not None and first > last:
            raise Invalid(f"`since` time ({since}) cannot be after `until` time ({until})")
        subscription = Subscription(self, filters, deliver)
        now = time.time_ns()
        with self._lock:
            if first is not None or (last is not None and last <= now):
                subscription.backlog = [
                    event
                    for event in self._ring
                    if (first or 0) <= event["timeNano"]
                    and (last is None or event["timeNano"] <= last)
                    and matches(filters, event)
                ]
            if last is not None and last <= now:
                subscription.ended = done()
                return subscription
            self._subscribers.append(subscription)
        if last is not None:
            ended: Future[None] = Future()
            subscription.ended = ended
            subscription.timer = self._loop.after((last - now) / 1e9, lambda: resolve(ended))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscriber; again is fine."""
        with self._lock:
            if subscription in self._subscribers:
                self._subscribers.remove(subscription)


def make_event(kind: str, action: str, actor_id: str, attributes: Mapping[str, str], now: int) -> Event:
    """Docker's JSON of an event; container and image events repeat their fields in the old form."""
    event: Event = {}
    if kind in _OLD_FORM:
        event = {"status": action}
        if actor_id:  # a prune is nobody's
            event["id"] = actor_id
        if kind == "container" and "image" in attributes:
            event["from"] = attributes["image"]
    return event | {
        "Type": kind,
        "Action": action,
        "Actor": {"ID": actor_id, "Attributes": dict(sorted(attributes.items()))},
        "scope": "local",
        "time": now // 10**9,
        "timeNano": now,
    }


def matches(filters: Mapping[str, list[str]], event: Event) -> bool:
    """Whether an event passes all filters (moby, daemon/events/filter.go); names it does not know are ignored."""
    attributes: dict[str, str] = event["Actor"]["Attributes"]
    actor, name = event["Actor"]["ID"], attributes.get("name", "")
    action = event["Action"]
    exact = {
        "event": {action, action.split(":")[0]},
        "type": {event["Type"]},
        "scope": {event["scope"]},
        "image": _image_names(event),
    }
    for key, values in filters.items():
        if key in exact:
            if values and not exact[key] & set(values):
                return False
        elif key == "label":
            if not all(_has_label(attributes, text) for text in values):
                return False
        elif key in _BY_ACTOR and values and not any(text.startswith(tuple(values)) for text in (actor, name)):
            return False
    return True


def _image_names(event: Event) -> set[str]:
    attributes = event["Actor"]["Attributes"]
    name = attributes.get("name" if event["Type"] == "image" else "image", "")
    head, colon, tail = name.rpartition(":")
    return {event["Actor"]["ID"], name, head if colon and "/" not in tail else name} - {""}


def _has_label(attributes: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in attributes and (not equals or attributes[key] == value)


def parse_stamp(text: str) -> int | None:
    """Nanoseconds of `seconds[.fraction]`; None for nothing. Raises Internal with Go's words."""
    if not text:
        return None
    match = _TIME.match(text)
    if match is None:
        part = text.split(".")[0]
        raise Internal(f'strconv.ParseInt: parsing "{part[:100]}": invalid syntax')
    if len(match[1]) > 20 or not -(1 << 63) <= int(match[1]) < 1 << 63:
        raise Internal(f'strconv.ParseInt: parsing "{match[1][:100]}": value out of range')
    return int(match[1]) * 10**9 + int((match[2] or "0").ljust(9, "0"))
