"""Detach keys."""

import pytest

from wharf.api.detach import parse_keys
from wharf.errors import Invalid
from wharf.spec.detach import DetachFilter


def test_keys() -> None:
    assert parse_keys("") == b"\x10\x11"
    assert parse_keys("ctrl-a,b,ctrl-@") == b"\x01b\x00"
    for bad in ("ctrl-", "ctrl-!", "xyz", "ctrl-aa"):
        with pytest.raises(Invalid):
            parse_keys(bad)


def test_bytes_pass_until_the_keys_are_seen() -> None:
    keys = DetachFilter(b"\x10\x11")
    assert keys.feed(b"abc") == (b"abc", False)
    assert keys.feed(b"a\x10") == (b"a", False)
    assert keys.feed(b"b") == (b"\x10b", False)
    assert keys.feed(b"\x10\x10\x11rest") == (b"\x10", True)
