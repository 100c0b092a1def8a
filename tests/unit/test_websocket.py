"""WebSocket frames, cut anywhere; what no client may send; the handshake of RFC 6455, section 1.3."""

import pytest

from wharf.api.websocket import BINARY, CLOSE, MAX_FRAME, PING, TEXT, BadFrame, Frames, accept, frame
from wharf.errors import Invalid

MASK = b"\x01\x02\x03\x04"


def masked(data: bytes, opcode: int = TEXT, first: int = 0x80) -> bytes:
    body = bytes(byte ^ MASK[number % 4] for number, byte in enumerate(data))
    size = len(data)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return bytes([first | opcode]) + length + MASK + body


@pytest.mark.parametrize("step", [1, 2, 7, 100_000])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 70_000])
def test_frames_cut_anywhere(size: int, step: int) -> None:
    data = bytes(number % 251 for number in range(size))
    stream = masked(data) + masked(b"x", PING) + masked(b"", CLOSE)
    frames, found = Frames(), []
    for at in range(0, len(stream), step):
        found += frames.feed(stream[at : at + step])
    assert found == [(TEXT, data), (PING, b"x"), (CLOSE, b"")]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (frame(TEXT, b"without a mask"), 1002),
        (masked(b"", 3), 1002),
        (masked(b"", TEXT, 0xC0), 1002),
        (masked(b"x" * 126, PING), 1002),
        (masked(b"", PING, 0x00), 1002),
        (bytes([0x82, 0xFF]) + (MAX_FRAME + 1).to_bytes(8, "big"), 1009),
    ],
)
def test_what_no_client_may_send(stream: bytes, code: int) -> None:
    with pytest.raises(BadFrame) as found:
        Frames().feed(stream)
    assert found.value.code == code


def test_lengths_of_ours() -> None:
    assert frame(BINARY, b"a") == b"\x82\x01a"
    assert frame(BINARY, b"a" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert frame(BINARY, b"a" * 65536)[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")


def test_the_handshake() -> None:
    headers = {"upgrade": "WebSocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    assert accept(headers) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    for name in headers:
        with pytest.raises(Invalid):
            accept({key: value for key, value in headers.items() if key != name})
