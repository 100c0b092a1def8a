"""Logs whose last record is torn: no other one is lost for it, nor read twice."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from wharf.runtime.jsonlog import mend
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import Form, JsonForm, LocalForm, LogEntry
from wharf.runtime.logs import Log, open_log

NOW = 1_700_000_000_120_000_000
FORMS: dict[str, Form] = {"json": JsonForm(), "local": LocalForm()}


def opened(path: Path, form: str) -> Log:
    return open_log({"path": str(path), "form": form})


def lines(log: Log, *numbers: int) -> None:
    log.write(b"stdout", [b"".join(b"line %d\n" % number for number in numbers)], NOW)


def numbers(entries: Iterator[LogEntry]) -> list[int]:
    return [int(entry.line.split()[1]) for entry in entries]


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process grows beyond `size`: a write is cut short there, and the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("form", FORMS)
def test_what_finds_no_room_leaves_no_half_record(tmp_path: Path, form: str) -> None:
    path = tmp_path / "log"
    log = opened(path, form)
    lines(log, 1, 2)
    one = path.stat().st_size // 2
    with LogReader(str(path), FORMS[form]) as follower:
        assert numbers(follower.history()) == [1, 2]
        with room(path.stat().st_size + one * 3 // 2):
            lines(log, 3, 4, 5)
            assert path.stat().st_size == log.file.size == one * 3
            lines(log, 6, 7)
        lines(log, 8)
        assert numbers(follower.more()) == [3, 8]
    log.file.close()
    with LogReader(str(path), FORMS[form]) as reader:
        assert numbers(reader.history()) == [1, 2, 3, 8]


@pytest.mark.parametrize("form", FORMS)
def test_a_follower_that_saw_half_a_record_reads_what_is_written_in_its_place(tmp_path: Path, form: str) -> None:
    path = tmp_path / "log"
    log = opened(path, form)
    lines(log, 1, 22222)
    whole = path.read_bytes()
    first = len(whole) // 2 - 2
    os.truncate(path, len(whole) - 5)
    with LogReader(str(path), FORMS[form]) as follower:
        assert numbers(follower.history()) == [1]
        os.truncate(path, first)
        lines(log, 3, 4)
        assert numbers(follower.more()) == [3, 4]
    log.file.close()


@pytest.mark.parametrize("form", FORMS)
def test_the_next_run_cuts_off_what_a_killed_one_has_torn(tmp_path: Path, form: str) -> None:
    path = tmp_path / "log"
    log = opened(path, form)
    lines(log, 1, 2)
    log.file.close()
    os.truncate(path, path.stat().st_size - 3)
    log = opened(path, form)
    lines(log, 3, 4)
    log.file.close()
    with LogReader(str(path), FORMS[form]) as reader:
        assert numbers(reader.history()) == [1, 3, 4]


def test_json_is_cut_after_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "log"
    mend(str(path))
    assert not path.exists()
    for kept, torn in ((b"", b""), (b"", b"x"), (b"a\n", b""), (b"a\nb\n", b"x" * 200_000)):
        path.write_bytes(kept + torn)
        mend(str(path))
        assert path.read_bytes() == kept


def test_a_record_behind_half_a_one_is_read(tmp_path: Path) -> None:
    """As releases before this one have left them; wherever the first is torn."""
    path = tmp_path / "log"
    log = opened(path, "json")
    lines(log, 6, 7)
    log.file.close()
    record = path.read_bytes()
    for length in range(len(record) // 2 - 1):
        entries, rest = JsonForm().split(record[:length] + record)
        assert (numbers(iter(entries)), rest) == ([6, 7], b""), record[:length]
