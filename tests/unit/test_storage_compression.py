"""Compressed streams are recognised, read whole, and refused when damaged or too good to be true."""

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Callable

import pytest
import zstandard

from wharf.errors import Invalid
from wharf.storage.compression import decompressed
from wharf.storage.limits import Limits

FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}
DATA = os.urandom(300_000) + b"a" * 3_000_000


def read(data: bytes, limits: Limits | None = None) -> bytes:
    reader = decompressed(io.BytesIO(data), limits, "layer sha256:1")
    return b"".join(iter(lambda: reader.read(65536), b""))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one", "large"])
def test_what_was_compressed_comes_back(form: str, data: bytes) -> None:
    packed = FORMS[form](data)
    assert decompressed(io.BytesIO(packed)).kind == form
    assert read(packed) == data


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "zstd"])
def test_members_follow_one_another(form: str) -> None:
    assert read(FORMS[form](b"one") + FORMS[form](b"two")) == b"onetwo"


def test_zeros_after_gzip_are_padding() -> None:
    assert read(gzip.compress(b"one") + bytes(1000)) == b"one"


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz"])
def test_a_cut_stream_is_refused(form: str) -> None:
    with pytest.raises(Invalid, match=f"layer sha256:1: the {form} data is damaged"):
        read(FORMS[form](DATA)[:-20])


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "zstd"])
def test_a_flipped_bit_is_refused(form: str) -> None:
    packed = bytearray(FORMS[form](DATA))
    packed[150_000] ^= 4
    with pytest.raises(Invalid, match="damaged"):
        read(bytes(packed))


@pytest.mark.parametrize("form", ["gzip", "bzip2", "xz", "zstd"])
def test_a_bomb_is_refused_early(form: str) -> None:
    packed = FORMS[form](bytes(16 << 20))
    limits = Limits(ratio_floor=1 << 20)
    reader = decompressed(io.BytesIO(packed), limits)
    total = 0
    with pytest.raises(Invalid, match=r"more than 128:1 \(limit max-ratio"):
        while data := reader.read(65536):
            total += len(data)
            assert len(data) <= 65536
    assert total < 16 << 20


def test_plain_data_is_never_a_bomb() -> None:
    assert len(read(bytes(4 << 20), Limits(ratio_floor=1, max_ratio=0))) == 4 << 20
