"""What may go of the build cache: filters and bounds, without a cache."""

import pytest

from wharf.build.cache_policy import Space, chosen, wanted
from wharf.errors import Invalid
from wharf.spec.build_record import BuildRecord, CacheEntry


def entry(name: str, used: int, size: int = 100, parents: tuple[str, ...] = (), **more: bool) -> CacheEntry:
    record = BuildRecord(name, f"step {name}", size=size, used_at=used * 10**9, parents=parents)
    return CacheEntry(record, more.get("in_use", False), more.get("shared", False))


ENTRIES = [entry("a", 1), entry("b", 2, parents=("a",)), entry("c", 3), entry("d", 4, shared=True)]


def names(filters: dict[str, list[str]], everything: bool = True, entries: list[CacheEntry] = ENTRIES) -> str:
    question = wanted(filters, everything=everything, now=10)
    return "".join(record.id for record in chosen(entries, question, Space(), 0))


def test_what_is_shared_stays_unless_all_is_asked_for() -> None:
    assert names({}, everything=False) == "abc" and names({}) == "abcd"
    assert names({"shared": []}, everything=False) == "d" and names({"private": []}) == "abc"


def test_what_is_in_use_stays_always() -> None:
    assert names({}, entries=[entry("x", 1, in_use=True), entry("y", 1)]) == "y"
    assert names({"inuse": []}, entries=[entry("x", 1, in_use=True)]) == ""


def test_until_is_about_the_last_use() -> None:
    assert (
        names({"until": ["2"]}) == "ab" and names({"until": ["7s"]}) == "abc" and names({"unused-for": ["9s"]}) == "a"
    )


def test_several_filters_hold_together() -> None:
    assert names({"until": ["3"], "parent": ["a"]}) == "b" and names({"description": ["step c"]}) == "c"


@pytest.mark.parametrize("filters", [{"x": ["1"]}, {"id": ["a", "b"]}, {"until": ["soon"]}])
def test_bad_filters(filters: dict[str, list[str]]) -> None:
    with pytest.raises(Invalid):
        wanted(filters, everything=True, now=10)


@pytest.mark.parametrize(
    ("space", "free", "gone"),
    [
        (Space(reserved=400), 0, ""),
        (Space(reserved=250), 0, "ba"),
        (Space(max_used=300), 0, "b"),
        (Space(max_used=100, reserved=300), 0, "b"),
        (Space(min_free=50), 100, ""),
        (Space(min_free=150), 50, "b"),
        (Space(min_free=10_000), 0, "bacd"),
    ],
)
def test_bounds_take_the_longest_unused_and_what_is_made_of_it_first(space: Space, free: int, gone: str) -> None:
    """`a` was used first, but `b` was made of it."""
    found = chosen(ENTRIES, wanted({}, everything=True, now=10), space, free)
    assert "".join(record.id for record in found) == gone
