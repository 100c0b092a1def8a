"""Tar headers: what is written can be read by us and by the standard library; what is malformed is refused."""

import contextlib
import io
import os
import tarfile
import tempfile
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wharf.errors import Invalid
from wharf.storage.layers import header
from wharf.storage.layers.header import Entry, apply_pax, format_entry, number, parse_block, parse_pax, parse_time
from wharf.storage.layers.names import split
from wharf.storage.layers.reader import ArchiveReader

_component = st.binary(min_size=1, max_size=120).filter(
    lambda b: b"/" not in b and b"\0" not in b and b not in (b".", b"..")
)
names = st.lists(_component, min_size=1, max_size=6).map(b"/".join).filter(lambda name: not name.endswith(b"/"))
big = st.integers(0, (1 << 32) - 2)
kinds = st.sampled_from([header.REGULAR, header.HARDLINK, header.SYMLINK, header.CHAR, header.DIRECTORY, header.FIFO])


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(kinds)
    entry = Entry(draw(names), kind, draw(st.integers(0, 0o7777)), draw(big), draw(big))
    entry.mtime = draw(st.integers(-(10**9), 1 << 36)) * 10**9
    if kind in (header.HARDLINK, header.SYMLINK):
        entry.link = draw(names)
    if kind == header.CHAR:
        entry.device = (draw(st.integers(0, 4095)), draw(st.integers(0, (1 << 20) - 1)))
    if kind == header.REGULAR:
        entry.xattrs = draw(st.dictionaries(st.sampled_from(["security.capability", "user.é"]), st.binary(max_size=40)))
    return entry


def read(data: bytes) -> list[tuple[Entry, bytes]]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        reader = ArchiveReader(file.fileno())
        return [(entry, b"".join(bytes(piece) for piece in reader.data())) for entry in reader.entries()]


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine
@given(st.lists(entries(), max_size=4))
def test_what_is_written_reads_back(wanted: list[Entry]) -> None:
    data = b"".join(format_entry(entry) for entry in wanted) + header.END
    assert [entry for entry, _ in read(data)] == wanted


def test_an_archive_may_end_within_the_padding_of_its_last_entry() -> None:
    """`docker build -f - DIR` sends such a one; one that ends within an entry's bytes is cut short."""
    entry = Entry(b"f", header.REGULAR, 0o644, 0, 0, 5)
    data = format_entry(entry) + b"12345"
    assert [content for _, content in read(data)] == [content for _, content in read(data + b"\0" * 100)] == [b"12345"]
    with pytest.raises(Invalid, match="unexpected EOF"):
        read(data[:-1])


@given(entries())
def test_the_standard_library_reads_what_is_written(entry: Entry) -> None:
    data = format_entry(entry) + header.END
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape", encoding="utf-8") as tar:
        (info,) = tar.getmembers()
    assert os.fsencode(info.name) == entry.name
    assert (info.uid, info.gid, info.mode, info.type) == (entry.uid, entry.gid, entry.mode, entry.kind)
    assert info.mtime == entry.mtime // 10**9
    if entry.link:
        assert os.fsencode(info.linkname) == entry.link


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_the_standard_library(form: int) -> None:
    out = io.BytesIO()
    long = "d" * 90 + "/" + "f" * 90
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, size in (("a", 0), (long, 700), ("b/c", 512)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid = size, 1234567890, 1000
            tar.addfile(info, io.BytesIO(b"x" * size))
    found = read(out.getvalue())
    assert [(entry.name, len(data)) for entry, data in found] == [(b"a", 0), (long.encode(), 700), (b"b/c", 512)]
    assert all(entry.uid == 1000 and entry.mtime == 1234567890 * 10**9 for entry, _ in found)


def test_gnu_long_names_and_large_numbers() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("n" * 300)
        info.type, info.linkname, info.uid, info.mtime = tarfile.SYMTYPE, "l" * 300, 1 << 31, -5
        tar.addfile(info)
    ((entry, _),) = read(out.getvalue())
    assert (entry.name, entry.link, entry.uid, entry.mtime) == (b"n" * 300, b"l" * 300, 1 << 31, -5 * 10**9)


@given(st.binary(min_size=512, max_size=2048))
def test_garbage_is_refused_or_read_but_never_crashes(data: bytes) -> None:
    try:
        read(data)
    except Invalid:
        pass


@given(entries(), st.integers(0, 511), st.integers(1, 255))
def test_a_flipped_byte_is_noticed(entry: Entry, position: int, flip: int) -> None:
    block = bytearray(format_entry(entry)[-512:])
    block[position] ^= flip
    if 148 <= position < 156:
        return  # the checksum's own field: spaces and zeros there may mean the same
    with pytest.raises(Invalid):
        parse_block(bytes(block))


@pytest.mark.parametrize(
    "data",
    [b"5 a=\n", b"99 a=b\n", b"6 a=b", b"x a=b\n", b"a=b\n", b"3 \n", b"4 =\n", b"-6 a=b\n", b"0 a=b\n"],
)
def test_malformed_extended_headers(data: bytes) -> None:
    if data == b"5 a=\n":
        assert parse_pax(data) == {b"a": b""}
        return
    with pytest.raises(Invalid):
        parse_pax(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"size", b"-1"),
        (b"uid", b"1.5"),
        (b"path", b"a\0b"),
        (b"mtime", b"later"),
        (b"GNU.sparse.major", b"1"),
        (b"LIBARCHIVE.xattr.user%zz", b""),
        (b"size", b"9" * 20),
    ],
)
def test_extended_values_that_mean_nothing(key: bytes, value: bytes) -> None:
    with pytest.raises(Invalid):
        apply_pax(Entry(b"a"), {key: value})


def test_extended_attributes_in_both_spellings() -> None:
    entry = Entry(b"a")
    apply_pax(entry, {b"SCHILY.xattr.user.a": b"1\n2", b"LIBARCHIVE.xattr.user.b%20c": b"AAE"})
    assert entry.xattrs == {"user.a": b"1\n2", "user.b c": b"\0\1"}


@given(st.integers(-(1 << 40), 1 << 40))
def test_times_with_fractions(nanoseconds: int) -> None:
    sign, value = ("-" if nanoseconds < 0 else ""), abs(nanoseconds)
    assert parse_time(f"{sign}{value // 10**9}.{value % 10**9:09d}".encode()) == nanoseconds


@pytest.mark.parametrize(
    ("raw", "value"), [(b"0000644\0", 0o644), (b"   644 \0", 0o644), (b"\0" * 8, 0), (b"\x80" + b"\0" * 6 + b"\5", 5)]
)
def test_numbers(raw: bytes, value: int) -> None:
    assert number(raw) == value


@pytest.mark.parametrize(
    "raw", [b"0000898\0", b"-000001\0", b"1_0\0\0\0\0\0", b"0x10\0\0\0\0", b"\xff" * 8, b"\x80\x7f" + b"\xff" * 10]
)
def test_numbers_that_are_none(raw: bytes) -> None:
    with pytest.raises(Invalid):
        number(raw)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"a", (b"", b"a")),
        (b"./a/b/", (b"a", b"b")),
        (b"a//b/./c", (b"a/b", b"c")),
        (b"./", (b"", b"")),
        (b".", (b"", b"")),
        (b"a/..b/c", (b"a/..b", b"c")),
        (b".wh.a", (b"", b".wh.a")),
        (b"././x", (b"", b"x")),
    ],
)
def test_names(name: bytes, parts: tuple[bytes, bytes]) -> None:
    assert split(name) == parts


@pytest.mark.parametrize(
    "name", [b"..", b"../a", b"a/../b", b"a/..", b"/a", b"/", b"//a", b"./../a", b"x" * 4096, b".//../x"]
)
def test_names_that_lead_out(name: bytes) -> None:
    with pytest.raises(Invalid):
        split(name)


@given(st.binary(max_size=60))
def test_no_name_keeps_a_part_that_leads_out(name: bytes) -> None:
    try:
        parent, base = split(name)
    except Invalid:
        return
    path = parent + b"/" + base if parent else base
    assert not path.startswith(b"/")
    assert not {b"..", b"."} & set(path.split(b"/"))
    assert not path or b"" not in path.split(b"/")


@pytest.mark.parametrize("pipe", [True, False])
def test_large_data_is_poured_from_a_pipe_as_from_a_file(pipe: bool) -> None:
    large, small = Entry(b"large", size=5 << 20), Entry(b"small", size=3)
    content = os.urandom(1 << 20) * 5
    archive = format_entry(large) + content + format_entry(small) + b"abc"
    for whole in (archive + bytes(509) + header.END, archive[: 3 << 20]):
        with tempfile.TemporaryFile() as out, _piped(whole) if pipe else _filed(whole) as fd:
            reader = ArchiveReader(fd)
            entries = reader.entries()
            assert next(entries).name == b"large"
            if len(whole) < len(archive):
                with pytest.raises(Invalid, match="unexpected EOF"):
                    while reader.pour(out.fileno()):
                        pass
                continue
            while reader.pour(out.fileno()):
                pass
            out.seek(0)
            assert out.read() == content
            assert (next(entries).name, reader.whole()) == (b"small", b"abc")
            assert list(entries) == []
            assert reader.position == len(whole)


@contextlib.contextmanager
def _filed(data: bytes) -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


@contextlib.contextmanager
def _piped(data: bytes) -> Iterator[int]:
    reader, writer = os.pipe()

    def write() -> None:
        with open(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()
