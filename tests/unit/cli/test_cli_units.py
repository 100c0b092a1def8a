"""Docker's durations, sizes, times and columns."""

import pytest

from wharf.cli import units
from wharf.cli.table import align, ellipsis


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (120, "2 minutes"),
        (3599, "59 minutes"), (3600, "About an hour"), (5400, "2 hours"), (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"), (14 * 86400, "2 weeks"), (61 * 86400, "2 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_read_as_docker_writes_them(seconds: float, text: str) -> None:
    assert units.human_duration(seconds) == text


def test_sizes_have_significant_digits_not_decimals() -> None:
    assert units.human_size(0, 3) == "0B"
    assert units.human_size(1983999, 3) == "1.98MB"
    assert units.human_size(1983999) == "1.984MB"
    assert units.bytes_size(25275068416) == "23.54GiB"


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 << 20), ("1.5g", 3 << 29), ("1GiB", 1 << 30), ("5b", 5), ("7", 7)]
)
def test_memory_is_read_in_powers_of_1024(text: str, size: int) -> None:
    assert units.parse_ram(text) == size


@pytest.mark.parametrize("text", ["x", "", "1q", "-1m", "1mm"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid"):
        units.parse_ram(text)


def test_go_durations() -> None:
    assert units.parse_duration("1h30m") == 5400 * 10**9
    assert units.parse_duration("1.5s") == 1500 * 10**6
    assert units.parse_duration("-2ms") == -2 * 10**6
    for wrong, reason in (("x", 'invalid duration "x"'), ("3", "missing unit"), ("3y", 'unknown unit "y"')):
        with pytest.raises(ValueError, match=reason):
            units.parse_duration(wrong)


def test_times_are_sent_as_seconds_and_nanoseconds() -> None:
    assert units.parse_rfc3339("2026-11-23T20:18:21.5+01:00") == (1795461501, 500000000)
    assert units.timestamp("2026-11-23T20:18:21Z") == "1795465101.000000000"
    assert units.timestamp("10s", now=lambda: 100.0) == "90.000000000"
    assert units.timestamp("1795465101.5") == "1795465101.5"
    with pytest.raises(ValueError, match="failed to parse value"):
        units.timestamp("yesterday")


def test_columns_are_ten_wide_at_least_with_three_blanks_between() -> None:
    assert align([["A", "BB", "C"], ["a-long-cell", "b", "c"]]) == (
        "A             BB        C\na-long-cell   b         c\n"
    )
    assert ellipsis("abcdef", 4) == "abc…"
    assert ellipsis("abcd", 4) == "abcd"
