"""Frames taken apart, detach keys, ports as ps shows them, addresses of daemons, JSON without `json`."""

import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wharf.cli.ps import display_ports
from wharf.cli.streams import Frames, detach_filter
from wharf.client import address, jsontext
from wharf.client.api import query
from wharf.errors import Invalid

SOURCE = Path(__file__).parents[3] / "src"


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=20),
    st.lists(st.integers(min_value=1, max_value=30), min_size=1, max_size=8),
)
def test_frames_come_whole_however_they_are_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(struct.pack(">BxxxI", number, len(data)) + data for number, data in frames)
    taken, got, position, turn = Frames(), {1: b"", 2: b""}, 0, 0
    while position < len(stream):
        piece = stream[position : position + cuts[turn % len(cuts)]]
        position, turn = position + len(piece), turn + 1
        for descriptor, run in taken.feed(piece):
            got[descriptor] += run
    for number in (1, 2):
        assert got[number] == b"".join(data for stream_number, data in frames if stream_number == number)


def test_detach_keys_hold_back_only_what_may_be_theirs() -> None:
    keys = detach_filter("ctrl-p,ctrl-q")
    assert keys is not None
    assert keys.feed(b"ab\x10") == (b"ab", False)
    assert keys.feed(b"c") == (b"\x10c", False)
    assert keys.feed(b"\x10\x11rest") == (b"", True)
    with pytest.raises(Invalid, match="detach keys"):
        detach_filter("ctrl-ü")


def test_ports_are_joined_to_ranges() -> None:
    def port(private: int, public: int = 0, ip: str = "") -> dict[str, Any]:
        return {"PrivatePort": private, "Type": "tcp", **({"PublicPort": public, "IP": ip} if ip else {})}

    assert display_ports([port(99)]) == "99/tcp"
    assert display_ports([port(80, 8080, "0.0.0.0"), port(80, 8080, "::")]) == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"
    assert display_ports([port(9000 + i, 9000 + i, "0.0.0.0") for i in range(3)]) == "0.0.0.0:9000-9002->9000-9002/tcp"


SCALARS = st.none() | st.booleans() | st.integers() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_json_reads_and_writes_what_the_library_does(value: Any) -> None:
    assert jsontext.loads(json.dumps(value)) == value
    assert json.loads(jsontext.dumps(value)) == value
    assert json.loads(jsontext.indented(value)) == value


@pytest.mark.parametrize("text", ["", "{", "[1,", "1 2", "nul", '{"a":}', '"\x01"'])
def test_what_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        jsontext.loads(text)


def test_queries_leave_out_what_is_not_given() -> None:
    assert query({"a": None, "b": "", "c": False, "d": True, "e": "x y&", "f": {"k": {"v": True}}}) == (
        "?d=1&e=x%20y%26&f=%7B%22k%22%3A%7B%22v%22%3Atrue%7D%7D"
    )


def test_the_daemon_is_found_in_dockers_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    found = address.find()
    assert (found.path, found.named) == (address.default_socket(), False)
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"mine").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text('{"Name":"mine","Endpoints":{"docker":{"Host":"unix:///ctx.sock"}}}')
    (tmp_path / "config.json").write_text('{"currentContext":"mine"}')
    assert address.find().path == "/ctx.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert str(address.find()) == "tcp://127.0.0.1:2375"
    assert address.find(host="unix:///x.sock").path == "/x.sock"
    with pytest.raises(Invalid, match="context not found"):
        address.find(context="other")
    assert str(address.find(host="ssh://root@server:22")) == "ssh://root@server:22"
    with pytest.raises(Invalid, match="npipe"):
        address.find(host="npipe:////./pipe/docker")


SLOW = (
    "typing re json enum dataclasses collections functools contextlib socket subprocess click site signal "
    "importlib.metadata"
)


@pytest.mark.parametrize("verb", ["ps", "run", "execute", "logs", "inspect"])
def test_hot_verbs_import_nothing_slow(verb: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {os.fspath(SOURCE)!r})\n"
        f"import wharf.cli.main, wharf.cli.{verb}, wharf.client.api\n"
        f"print(*(name for name in {SLOW!r}.split() if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
