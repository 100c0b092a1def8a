"""Bodies cut out of a connection's bytes, however those arrive."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.api.body import MAX_CHUNK_LINE, BadFraming, Decoder


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def decode(decoder: Decoder, parts: list[bytes]) -> tuple[bytes, bytes]:
    payload, behind = b"", b""
    for part in parts:
        found, rest = decoder.feed(part)
        payload += b"".join(found)
        behind += rest
    return payload, behind


@given(st.lists(st.binary(min_size=1, max_size=40)), st.binary(max_size=20), st.lists(st.integers(0, 2000)))
def test_chunks_cut_anywhere(chunks: list[bytes], behind: bytes, cuts: list[int]) -> None:
    framed = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n"
    decoder = Decoder(None)
    assert decode(decoder, pieces(framed + behind, cuts)) == (b"".join(chunks), behind)
    assert decoder.done


@given(st.binary(max_size=200), st.binary(max_size=20), st.lists(st.integers(0, 300)))
def test_a_length_cut_anywhere(body: bytes, behind: bytes, cuts: list[int]) -> None:
    decoder = Decoder(len(body))
    assert decode(decoder, pieces(body + behind, cuts)) == (body, behind)
    assert decoder.done


NO_CHUNKS = (
    b"\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x1\r\n",
    b"g\r\n",
    b"1\r\nab\r\n",
    b"f" * 16 + b"\r\n",
    b"1" * (MAX_CHUNK_LINE + 2),
    b"0\r\n" + b"a: b\r\n" * 5000,
)


@pytest.mark.parametrize("framed", NO_CHUNKS)
def test_what_is_no_chunk_is_refused(framed: bytes) -> None:
    with pytest.raises(BadFraming):
        Decoder(None).feed(framed)
