"""Names: the rules for given ones, the shape of made ones."""

import random
import re

import pytest

from wharf.engine.names import MOODS, PEOPLE, check_name, generate_name
from wharf.errors import Invalid


@pytest.mark.parametrize("name", ["web", "/web", "a.b-c_d", "0x"])
def test_good_names(name: str) -> None:
    assert check_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "a", ".bad", "-x", "a b", "a/b", "ä1", "x" * 300, "web\n"])
def test_bad_names(name: str) -> None:
    with pytest.raises(Invalid, match="Invalid container name"):
        check_name(name)


def test_a_made_name_is_adjective_and_surname() -> None:
    name = generate_name(lambda _: False, "f" * 64, random.Random(1))
    assert re.fullmatch(r"[a-z]+_[a-z]+", name)
    assert check_name(name) == name


def test_a_digit_helps_where_names_are_taken() -> None:
    seen: list[str] = []

    def taken(name: str) -> bool:
        seen.append(name)
        return len(seen) < 3

    assert re.fullmatch(r"[a-z]+_[a-z]+\d", generate_name(taken, "f" * 64, random.Random(2)))


def test_the_short_id_is_the_last_resort() -> None:
    assert generate_name(lambda _: True, "0123456789abcdef" * 4) == "0123456789ab"


def test_no_word_is_there_twice() -> None:
    assert len(set(MOODS)) == len(MOODS)
    assert len(set(PEOPLE)) == len(PEOPLE)
