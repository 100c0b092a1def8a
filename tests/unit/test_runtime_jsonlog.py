"""The json-file log against Docker's form, line by line."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wharf.runtime.jsonlog import SPLIT, JsonLog, LineSplitter, escape, timestamp
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import parse_time
from wharf.runtime.rotation import RotatingFile

NOW = 1_700_000_000_120_000_000


def pieces(data: bytes, *sizes: int) -> list[bytes]:
    """What the splitter makes of `data` fed in reads of `sizes`, then of the rest, flattened to single records."""
    splitter, out, position = LineSplitter(), [], 0
    for size in (*sizes, len(data)):
        out += splitter.feed(data[position : position + size])
        position += size
    out += splitter.finish()
    return [line for run in out for line in (run.split(b"\n") if run.endswith(b"\n") else [run])]


def records(run: bytes) -> list[bytes]:
    """A run as single records, newline kept."""
    return run.splitlines(keepends=True) if run.endswith(b"\n") else [run]


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (NOW, "2023-11-14T22:13:20.12Z"),
        (1_700_000_000_000_000_000, "2023-11-14T22:13:20Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
    ],
)
def test_timestamps_drop_trailing_zeros_as_go_does(now: int, text: str) -> None:
    assert timestamp(now) == text
    assert parse_time(text) == now


def test_escapes_are_dockers() -> None:
    assert escape(b'a"b\\c<d>e&f\tg\rh\x01\x1b[0m') == (b'a\\"b\\\\c\\u003cd\\u003ee\\u0026f\\tg\\rh\\u0001\\u001b[0m')
    assert escape("é\u2028".encode()) == "é\\u2028".encode()
    assert escape(b"\xff") == b"\\ufffd"


def test_a_line_of_exactly_the_limit_is_followed_by_its_newline_alone() -> None:
    splitter = LineSplitter()
    runs = splitter.feed(b"x" * SPLIT + b"\n" + b"y\n")
    assert [record for run in runs for record in records(run)] == [b"x" * SPLIT, b"\n", b"y\n"]


def test_an_unfinished_last_line_has_no_newline() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"one\ntwo") == [b"one\n"]
    assert splitter.finish() == [b"two"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3 * SPLIT), max_size=5), st.integers(200, 40000))
def test_records_do_not_depend_on_how_reads_fall(lengths: list[int], size: int) -> None:
    data = b"".join(b"a" * length + b"\n" for length in lengths)
    whole, cut = LineSplitter(), LineSplitter()
    one = [r for run in whole.feed(data) for r in records(run)] + whole.finish()
    many = [r for at in range(0, len(data), size) for run in cut.feed(data[at : at + size]) for r in records(run)]
    assert many + cut.finish() == one
    assert b"".join(one) == data
    assert max((len(record) for record in one), default=0) <= SPLIT + 1


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(), max_size=8))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("log") / "x-json.log"
    lines = [text.replace("\n", " ").encode("utf-8", "replace") + b"\n" for text in texts]
    log = JsonLog(RotatingFile(str(path)))
    splitter = LineSplitter()
    log.write(b"stdout", splitter.feed(b"".join(lines)), NOW)
    log.file.close()
    assert [json.loads(line)["log"].encode() for line in path.read_bytes().splitlines()] == lines
    with LogReader(str(path)) as reader:
        assert [entry.line for entry in reader.history()] == lines


def test_rotation_keeps_the_number_of_files(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=200, max_file=3))
    for number in range(40):
        log.write(b"stdout", [b"line %d\n" % number], NOW + number)
    log.file.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x-json.log", "x-json.log.1", "x-json.log.2"]
    with LogReader(str(path)) as reader:
        found = [entry.line for entry in reader.history()]
    assert found == [b"line %d\n" % number for number in range(40 - len(found), 40)]


def test_one_file_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=100, max_file=1))
    for number in range(10):
        log.write(b"stderr", [b"line %d\n" % number], NOW)
    log.file.close()
    assert [file.name for file in tmp_path.iterdir()] == ["x-json.log"]
    assert path.stat().st_size < 200


def test_attributes_stand_between_stream_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path)), extra=b'{"a":"b"}')
    log.write(b"stdout", [b"hi\n"], NOW)
    log.file.close()
    assert path.read_bytes() == (
        b'{"log":"hi\\n","stream":"stdout","attrs":{"a":"b"},"time":"2023-11-14T22:13:20.12Z"}\n'
    )
    with LogReader(str(path)) as reader:
        assert next(reader.history()).attrs == {"a": "b"}


@pytest.mark.parametrize("tail", [0, 1, 3, 9, 100])
def test_tail_counts_records_over_rotated_files(tmp_path: Path, tail: int) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=300, max_file=5))
    for number in range(10):
        log.write(b"stdout", [b"%d\n" % number], NOW)
    log.file.close()
    with LogReader(str(path)) as reader:
        assert [int(entry.line) for entry in reader.history(tail=tail)] == list(range(10))[-tail:] * (tail > 0)


def test_since_and_until_include_their_ends(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path)))
    for number in range(5):
        log.write(b"stdout", [b"%d\n" % number], NOW + number)
    log.file.close()
    with LogReader(str(path)) as reader:
        assert [entry.line for entry in reader.history(since=NOW + 1, until=NOW + 3)] == [b"1\n", b"2\n", b"3\n"]


def test_following_crosses_a_rotation_without_loss(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=500, max_file=9))
    with LogReader(str(path)) as reader:
        found = [entry.line for entry in reader.history()]
        for number in range(30):
            log.write(b"stdout", [b"%d\n" % number], NOW)
            if number % 4 == 0:
                found += [entry.line for entry in reader.more()]
        found += [entry.line for entry in reader.more()]
    log.file.close()
    assert found == [b"%d\n" % number for number in range(30)]


@pytest.mark.parametrize("between", [1, 2, 7, 25, 60])
def test_a_follower_loses_nothing_when_the_log_rotates_more_than_once_between_reads(
    tmp_path: Path, between: int
) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=300, max_file=40))
    log.write(b"stdout", [b"0\n"], NOW)
    with LogReader(str(path)) as reader:
        found = [int(entry.line) for entry in reader.history()]
        for number in range(1, 121):
            log.write(b"stdout", [b"%d\n" % number], NOW)
            if number % between == 0:
                found += [int(entry.line) for entry in reader.more()]
    log.file.close()
    assert found == list(range(1 + 120 // between * between))


def test_a_follower_that_was_left_behind_goes_on_with_the_oldest_file_there_is(tmp_path: Path) -> None:
    path = tmp_path / "x-json.log"
    log = JsonLog(RotatingFile(str(path), max_size=300, max_file=3))
    log.write(b"stdout", [b"0\n"], NOW)
    with LogReader(str(path)) as reader:
        found = [int(entry.line) for entry in reader.history()]
        for number in range(1, 50):
            log.write(b"stdout", [b"%d\n" % number], NOW)
        found += [int(entry.line) for entry in reader.more()]
    log.file.close()
    with LogReader(str(path)) as whole:
        kept = [int(entry.line) for entry in whole.history()]
    assert found[-len(kept) :] == kept
    assert found == sorted(set(found))
