"""What of the build cache may go: the Engine API's filters, and its three numbers of space. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wharf.engine.filters import Filters, labels_match, parse_time
from wharf.errors import Invalid
from wharf.spec.build_record import BuildRecord, CacheEntry

FIELDS = ("id", "parent", "type", "description", "inuse", "shared", "private")
MAX_PATTERN = 1000


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes: `reserved` is kept whatever else is asked, at most `max_used` stay, `min_free` is to be free on the disk.
    All zero: everything that is wanted goes."""

    reserved: int = 0
    max_used: int = 0
    min_free: int = 0

    def kept(self, total: int, free: int) -> int | None:
        """How many bytes of the cache may stay; None where no number was given."""
        if not (self.reserved or self.max_used or self.min_free):
            return None
        keep = self.max_used
        excess = self.min_free - free
        if excess > 0:
            keep = min(keep, total - excess) if keep else total - excess
        elif not keep and not self.reserved:
            return total
        return max(keep, self.reserved)


def wanted(filters: Filters, *, everything: bool, now: float) -> Callable[[CacheEntry], bool]:
    """What filters ask for, as a question. Without `everything`, what images share stays.

    Raises Invalid for a filter that is unknown, has two values, or a bad one.
    """
    tests: list[Callable[[CacheEntry], bool]] = [lambda entry: not entry.in_use]
    if not everything and "shared" not in filters:
        tests.append(lambda entry: not entry.shared)
    if not labels_match(filters, None):  # what is cached has no labels
        return lambda entry: False
    for name, values in filters.items():
        if name in ("label", "label!"):
            continue
        if name not in (*FIELDS, "until", "unused-for"):
            raise Invalid(f"failed to prune build cache: invalid filter '{name[:200]}'")
        if len(values) > 1:
            raise Invalid("failed to prune build cache: filters expect only one value")
        if name in ("until", "unused-for"):
            tests.append(_until(values[0], now) if values else lambda entry: True)
        else:
            tests.append(_field(name, values[0] if values else ""))
    return lambda entry: all(test(entry) for test in tests)


def _until(text: str, now: float) -> Callable[[CacheEntry], bool]:
    limit = int(parse_time(text, now) * 1e9)
    return lambda entry: entry.record.used_at <= limit


def _field(name: str, value: str) -> Callable[[CacheEntry], bool]:
    if name == "id":
        if len(value) > MAX_PATTERN:
            raise Invalid("invalid filter 'id': too long")
        prefix = re.sub(r"[^0-9A-Za-z:-]", "", value)
        return lambda entry: prefix in entry.record.id
    if name == "parent":
        return lambda entry: value in entry.record.parents
    if name == "type":
        return lambda entry: entry.record.kind == value
    if name == "description":
        return lambda entry: entry.record.description == value
    true = value.lower() in ("", "1", "t", "true")
    if name == "inuse":
        return lambda entry: entry.in_use == true
    return lambda entry: entry.shared == (true if name == "shared" else not true)


def chosen(
    entries: Sequence[CacheEntry], question: Callable[[CacheEntry], bool], space: Space, free: int
) -> list[BuildRecord]:
    """The records that go. With a limit of space: the longest unused first, and none before what was made of it."""
    asked = [entry.record for entry in entries if question(entry)]
    total = sum(entry.record.size for entry in entries)
    keep = space.kept(total, free)
    if keep is None:
        return asked
    needed: dict[str, int] = {}
    for entry in entries:
        for parent in entry.record.parents:
            needed[parent] = needed.get(parent, 0) + 1
    gone: list[BuildRecord] = []
    waiting = sorted(asked, key=lambda record: (record.used_at, record.uses))
    while total > keep:
        record = next((item for item in waiting if not needed.get(item.id)), None)
        if record is None:
            break
        waiting.remove(record)
        gone.append(record)
        total -= record.size
        for parent in record.parents:
            needed[parent] -= 1
    return gone
