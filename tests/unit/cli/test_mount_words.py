"""`--mount` is read as docker's own client reads it: each line of the conformance table that names one."""

import os
import re
import shlex
from collections.abc import Iterator

import pytest
from tests.conformance import recording

from wharf.cli.mounts import parse_mount, split_volumes
from wharf.errors import Invalid

TMP = "/tmp/conf-abcdefgh"
"""As long as the scratch directories of the recordings: a column of an error counts it."""
_REFUSED = re.compile(r'invalid argument ".*" for "--mount" flag: (.*)')


def recorded() -> Iterator[tuple[tuple[str, ...], str]]:
    """Values of --mount and what docker said, "" when it passed them on."""
    newest = recording.newest_for("28.5.2+dfsg4")
    assert newest
    for name, answers in sorted(newest.scenarios.items()):
        for answer in answers if name.startswith(("mounts", "volumes")) else ():
            body = answer.line.partition(" ## ")[0].replace("{tmp}", TMP)
            words = shlex.split(body) if body.startswith("docker ") else []
            values = tuple(words[n + 1] for n, word in enumerate(words) if word == "--mount")
            if values and "bind-create-src" not in body:  # of newer clients
                found = _REFUSED.match(answer.stderr.partition("\n")[0])
                yield values, found[1].replace("{tmp}", TMP) if found else ""


CASES = sorted(set(recorded()))


def test_there_are_enough() -> None:
    assert len(CASES) > 60
    assert sum(bool(words) for _, words in CASES) > 20


@pytest.mark.parametrize(("values", "words"), CASES)
def test_the_same_words(values: tuple[str, ...], words: str) -> None:
    if not words:
        assert all(parse_mount(value)["Target"] for value in values)
        return
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        for value in values:
            parse_mount(value)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('"a=1,b=2",c', ["a=1,b=2", "c"]),
        ('"a=""1""",c=', ['a="1"', "c="]),
        ("a,", ["a", ""]),
    ],
)
def test_fields(text: str, fields: list[str]) -> None:
    from wharf.cli.mounts import _fields

    assert _fields(text) == fields


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a"b', 'column 2: bare "'),
        ('"a"b', 'column 3: extraneous or missing "'),
        ('"a', 'column 3: extraneous or missing "'),
    ],
)
def test_bad_quotes(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_mount(text)


@pytest.mark.parametrize(
    ("text", "binds", "volumes"),
    [
        ("/data", [], ["/data"]),
        (":", [], [":"]),
        ("a:/m", [], ["a:/m"]),
        ("ab:/m", ["ab:/m"], []),
        ("/src:/m:ro,z", ["/src:/m:ro,z"], []),
        ("/src:/m:idmap=uids=0-1-2;gids=3-4-5", ["/src:/m:idmap=uids=0-1-2;gids=3-4-5"], []),
    ],
)
def test_volumes_are_told_from_binds(text: str, binds: list[str], volumes: list[str]) -> None:
    found = split_volumes([text])
    assert (found[0], list(found[1])) == (binds, volumes)


def test_a_dot_is_the_working_directory() -> None:
    assert split_volumes(["./x:/m"])[0] == [f"{os.getcwd()}/x:/m"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid empty volume spec"),
        (":/m", "invalid spec: :/m: empty section between colons"),
        ("/src:", "invalid spec: /src:: empty section between colons"),
        ("/src:/m:", "invalid spec: /src:/m:: empty section between colons"),
        ("/src:/m:ro:rw", "invalid spec: /src:/m:ro:rw: too many colons"),
    ],
)
def test_bad_volumes(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=f"^{re.escape(words)}$"):
        split_volumes([text])
