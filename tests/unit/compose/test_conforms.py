"""The quick look at a model says what jsonschema-rs says, or that it is not sure; right models are not left unsure."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from wharf.compose import schema
from wharf.compose.conforms import Conforms, Unsure
from wharf.compose.yamlfile import YamlError, parse_documents

PROJECTS = Path(__file__).parents[2] / "compose"
TEXT = Path(schema.__file__).with_name("compose-spec.json").read_text()
VALUES: list[Any] = [
    None, "", "x", "no\nline\n", 0, -1, 5000, 1.0, 2.5, True, [], {}, ["a", "a"], [1, "1"], [{"a": 1}, {"a": 1}],
    [1, 1.0], {"x-mine": 1}, {"unknown": 1}, {"condition": "service_started"}, "service_healthy", 1 << 70,
]  # fmt: skip
KEYS = ["x-mine", "unknown", "image", "condition", "a b", "a\n", "ports", "source"]


def _models() -> Iterator[Any]:
    for file in sorted(PROJECTS.glob("*/*/*.y*ml")):
        try:
            documents = parse_documents(file.read_bytes())
        except YamlError:
            continue
        yield from (document.value for document in documents if isinstance(document.value, dict))


def _changed(model: Any, chance: random.Random) -> Any:
    """A copy with something else somewhere."""
    changed = json.loads(json.dumps(model))
    place, key = changed, chance.choice(list(changed))
    while isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.8:
        place = place[key]
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    if isinstance(place, dict) and chance.random() < 0.3:
        place[chance.choice(KEYS)] = chance.choice(VALUES)
    else:
        place[key] = chance.choice(VALUES)
    return changed


@pytest.fixture(scope="module")
def library() -> Any:
    """The library's validator."""
    return jsonschema_rs.validator_for(TEXT)


def _valid(library: Any, model: Any) -> bool:
    try:
        return bool(library.is_valid(model))
    except ValueError:  # names that are no text
        return False


def test_right_models_need_no_library(library: Any) -> None:
    conforms = Conforms(TEXT)
    right = [model for model in _models() if _valid(library, model)]
    assert len(right) > 100
    assert sum(not conforms.certainly(model) for model in right) <= len(right) // 50


def test_verdicts_are_the_librarys(library: Any) -> None:
    conforms, chance = Conforms(TEXT), random.Random(8)
    sure = {True: 0, False: 0}
    for model in _models():
        for changed in [model, *(_changed(model, chance) for _ in range(20) if model)]:
            try:
                verdict = conforms.verdict(changed)
            except Unsure:
                continue
            assert verdict == _valid(library, changed), changed
            sure[verdict] += 1
    assert min(sure.values()) > 500, sure


def test_what_python_reads_otherwise(library: Any) -> None:
    """A name with a line's end, numbers that are whole, entries that are equal in JSON alone."""
    conforms = Conforms(TEXT)
    for service in ({"cpu_shares": 1.0}, {"cap_add": ["A", "A"]}, {"expose": [1, "1"]}, {"expose": [1, 1.0]}):
        model = {"services": {"web": service}}
        assert not conforms.certainly(model) or library.is_valid(model)
    assert not conforms.certainly({"services": {"web\n": {}}})
    assert not library.is_valid({"services": {"web\n": {}}})
    assert conforms.certainly({"services": {"web": {"expose": [1, "1"]}}})
