"""The local log: Docker's bytes, rotation with compression and with a shipper that lags."""

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wharf.runtime.jsonlog import JsonLog, LineSplitter
from wharf.runtime.locallog import LocalLog, mend
from wharf.runtime.logfile import LogReader
from wharf.runtime.logforms import Form, JsonForm, LocalForm
from wharf.runtime.rotation import RotatingFile

NOW = 1_764_310_000_000_000_000
RECORDED = (
    b"\x00\x00\x00\x16\n\x06stdout\x10\xce\xa2\x86\xec\x9f\x8b\x88\xf6\x18\x1a\x02hi\x00\x00\x00\x16"
    b"\x00\x00\x00\x17\n\x06stderr\x10\x9a\x8f\x8f\xec\x9f\x8b\x88\xf6\x18\x1a\x03err\x00\x00\x00\x17"
)
"""What Docker 28.5 wrote for `echo hi; echo err >&2`."""


def local(path: Path, *sizes: int, compress: bool = False, guarded: bool = False) -> LocalLog:
    """A writer."""
    return LocalLog(RotatingFile(str(path), *sizes, compress=compress, guarded=guarded))


def lines(path: Path, tail: int = -1, since: int = 0) -> list[bytes]:
    """The history of a log."""
    with LogReader(str(path), LocalForm()) as reader:
        return [entry.line for entry in reader.history(tail, since)]


def test_dockers_own_bytes_are_read_and_written(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    path.write_bytes(RECORDED)
    entries, rest = LocalForm().split(RECORDED + RECORDED[:9])
    assert rest == RECORDED[:9]
    assert [(entry.line, entry.stream, entry.time[:4]) for entry in entries] == [
        (b"hi\n", "stdout", "2026"),
        (b"err\n", "stderr", "2026"),
    ]
    from wharf.runtime.logforms import parse_time

    again = tmp_path / "again"
    log = local(again)
    log.write(b"stdout", [b"hi\n"], parse_time(entries[0].time))
    log.write(b"stderr", [b"err\n"], parse_time(entries[1].time))
    assert again.read_bytes() == RECORDED


@given(st.lists(st.binary(max_size=40_000), max_size=8))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, reads: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "container.log"
    log, splitter = local(path), LineSplitter()
    for data in reads:
        log.write(b"stdout", splitter.feed(data), NOW)
    log.write(b"stdout", splitter.finish(), NOW)
    log.file.close()
    assert b"".join(lines(path)) == b"".join(reads)


def test_a_line_that_was_split_says_so(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    log = local(path)
    log.write(b"stdout", [b"a" * 16384], NOW)
    log.write(b"stderr", [b"other\n"], NOW)
    log.write(b"stdout", [b"end\nnext\n"], NOW)
    with LogReader(str(path), LocalForm()) as reader:
        first, other, last, following = reader.history()
    assert first.partial and last.partial and first.partial.name == last.partial.name
    assert (first.partial.ordinal, first.partial.last, last.partial.ordinal, last.partial.last) == (1, False, 2, True)
    assert other.partial is None and following == following._replace(line=b"next\n", partial=None)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("form", ["json", "local"])
def test_a_follower_and_a_tail_cross_rotation_and_compression(tmp_path: Path, form: str, compress: bool) -> None:
    path = tmp_path / "log"
    file = RotatingFile(str(path), 4000, 60, compress)
    log = LocalLog(file) if form == "local" else JsonLog(file)
    read: Form = LocalForm() if form == "local" else JsonForm()
    seen: list[bytes] = []
    with LogReader(str(path), read) as reader:
        for number in range(900):
            log.write(b"stdout", [b"line %d\nmore\n" % number], NOW + number)
            if number % 130 == 0:
                seen += [entry.line for entry in (reader.history() if not seen else reader.more())]
        seen += [entry.line for entry in reader.more()]
    file.close()
    wanted = [line for number in range(900) for line in (b"line %d\n" % number, b"more\n")]
    assert seen == wanted
    packed = sorted(tmp_path.glob("*.gz"))
    assert bool(packed) == compress and not list(tmp_path.glob("*.tmp"))
    assert all(gzip.decompress(item.read_bytes()) for item in packed)
    for tail in (0, 1, 500, 1799):
        with LogReader(str(path), read) as reader:
            assert [entry.line for entry in reader.history(tail)] == wanted[len(wanted) - tail :]
    with LogReader(str(path), read) as reader:
        assert [entry.line for entry in reader.history(since=NOW + 700)] == wanted[1400:]


def test_a_torn_end_is_cut_off_before_more_is_written(tmp_path: Path) -> None:
    path = tmp_path / "container.log"
    for keep in range(len(RECORDED)):
        path.write_bytes(RECORDED[:keep])
        mend(str(path))
        assert path.read_bytes() == (RECORDED[:30] if keep >= 30 else b""), keep
    path.write_bytes(RECORDED)
    mend(str(path))
    assert path.read_bytes() == RECORDED


@pytest.mark.parametrize("files", [1, 2, 3])
def test_what_is_not_shipped_is_not_rotated_away(tmp_path: Path, files: int) -> None:
    path = tmp_path / "container.log"
    log = local(path, 1000, files, guarded=True)
    written = 0
    while not log.file.stuck:
        log.write(b"stdout", [b"line %d\n" % written], NOW + written)
        written += 1
        assert written < 1000
    assert lines(path) == [b"line %d\n" % number for number in range(written)]
    log.file.shipped(NOW - 1)
    assert log.file.stuck
    log.file.shipped(NOW + written)
    assert not log.file.stuck
    log.write(b"stdout", [b"more\n"], NOW + written)
    assert lines(path)[-1] == b"more\n" and len(lines(path)) <= written


def test_many_lines_are_written_fast(tmp_path: Path) -> None:
    log = local(tmp_path / "container.log", 20 << 20, 5)
    run = b"".join(b"some text of a usual length, number %d\n" % number for number in range(5000))
    begun = time.process_time()
    for _ in range(20):
        log.write(b"stdout", [run], NOW)
    assert time.process_time() - begun < 0.5  # measured: 0.033 s; a line is not an object of its own work
