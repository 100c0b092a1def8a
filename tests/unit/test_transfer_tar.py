"""The outer archive's reader and the deterministic writer, against Python's tarfile and against damage."""

import io
import tarfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wharf.errors import Invalid
from wharf.transfer.tar_reader import TarReader
from wharf.transfer.tar_writer import Node, TarWriter

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=300)


def entries(data: bytes) -> list[tuple[str, str, bytes, str]]:
    reader = TarReader(io.BytesIO(data), "image archive")
    return [(item.name, item.kind, reader.read_all(1 << 20), item.link) for item in reader]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=6),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_tarfile_writes_is_read(files: list[tuple[str, bytes]], kind: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    expected = [(name.rstrip("/") if kind else name, data) for name, data in files]
    assert [(name.rstrip("/") if kind else name, data) for name, _, data, _ in entries(out.getvalue())] == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES.map(lambda name: name.strip("/") or "x"), st.binary(max_size=2000)), max_size=6))
def test_what_the_writer_writes_is_read_by_tarfile(files: list[tuple[str, bytes]]) -> None:
    out = io.BytesIO()
    tar = TarWriter(out)
    for name, data in files:
        tar.data(name, data, Node(0o640, 1 << 34, 1 << 22, 7))
        tar.symlink(name + ".l", name)
        tar.hard_link(name + ".h", name)
    tar.close()
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as read:
        found = [(item.name, item.type, item.size, item.linkname) for item in read]
        assert all((item.mtime, item.uid, item.gid) == (1 << 34, 1 << 22, 7) for item in read if item.isreg())
    wanted: list[Any] = []
    for name, data in files:
        wanted.append((name, tarfile.REGTYPE, len(data), ""))
        wanted += [(name + ".l", tarfile.SYMTYPE, 0, name), (name + ".h", tarfile.LNKTYPE, 0, name)]
    assert found == wanted


def _one(name: str = "f", data: bytes = b"x" * 700) -> bytearray:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return bytearray(out.getvalue())


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 1000, 1535])
def test_a_truncated_archive(cut: int) -> None:
    with pytest.raises(Invalid, match="unexpected EOF"):
        entries(bytes(_one()[:cut]))


@pytest.mark.parametrize("at", [0, 100, 125, 150, 156])
def test_a_flipped_header_bit(at: int) -> None:
    data = _one()
    data[at] ^= 0x10
    with pytest.raises(Invalid, match="invalid tar header"):
        entries(bytes(data))


def _special(kind: bytes, body: bytes) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512) + bytes(_one())


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (b"x", b"x" * ((1 << 20) + 1), "exceeds"),
        (b"L", b"x" * ((1 << 20) + 1), "exceeds"),
        (b"x", b"nonsense", "malformed PAX record"),
        (b"x", b"99 path=x\n", "malformed PAX record"),
        (b"x", b"1 ", "malformed PAX record"),
        (b"x", b"8 path\n\n", "malformed PAX record"),
        (b"x", b"11 size=-1\n", "malformed PAX size"),
    ],
)
def test_bad_extended_headers(kind: bytes, body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        entries(_special(kind, body))


def test_a_writer_refuses_a_source_that_is_too_short() -> None:
    with pytest.raises(ValueError, match="ended 2 bytes early"):
        TarWriter(io.BytesIO()).copy("x", io.BytesIO(b"abc"), 5)
