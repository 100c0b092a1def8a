"""The grammar of wharf-runtime's flags, as runc's users write them."""

import re

import pytest

from wharf.runtime.oci.arguments import Flag, duration, memory, parse
from wharf.runtime.oci.errors import CommandFailed
from wharf.runtime.oci.verbs import VERBS


def test_flags_stand_anywhere_but_with_another_programs_words() -> None:
    assert VERBS["run"].parse(["run", "id", "-d", "--bundle=b"]).values == {"detach": "true", "bundle": "b"}
    kill = VERBS["kill"].parse(["kill", "id", "KILL", "--all"])
    assert (kill.words, kill.on("all")) == (["id", "KILL"], True)
    for verb in ("exec", "ps"):
        assert VERBS[verb].parse([verb, "id", "ls", "-f"]).words == ["id", "ls", "-f"]
    assert parse(["-a", "--", "-b"], {"all": Flag("bool", "a")}, anywhere=True).words == ["-b"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5.0), ("1m30s", 90.0), ("300ms", 0.3), ("1.5h", 5400.0), ("250us", 0.00025)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("", 'time: invalid duration ""'),
        ("s", 'time: invalid duration "s"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("1x", 'time: unknown unit "x" in duration "1x"'),
        ("-1s", "duration must be greater than 0"),
        ("0", "duration must be greater than 0"),
    ],
)
def test_what_is_no_duration_is_refused_in_gos_words(text: str, words: str) -> None:
    with pytest.raises(CommandFailed, match=f"^{re.escape(words)}$"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "number"), [("-1", -1), ("0", 0), ("65536", 65536), ("64m", 64 << 20), ("1GiB", 1 << 30), ("1.5k", 1536)]
)
def test_sizes_have_units(text: str, number: int) -> None:
    assert memory("memory", text) == number


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(CommandFailed, match="invalid value for memory: invalid size: 'much'"):
        memory("memory", "much")
