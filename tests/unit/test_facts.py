"""facts.tsv: what is known of Docker's containers, each with the test or the recorded line that shows it here."""

import ast
from functools import cache
from pathlib import Path

from tests.conformance.table import scenarios

ROOT = Path(__file__).parents[2]


def _rows(name: str = "facts.tsv") -> list[list[str]]:
    text = (ROOT / "tests/system/facts" / name).read_text()
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_every_row_names_a_test_or_a_line_that_exists() -> None:
    lines = {f"line:{scenario.name}: {line.text}" for scenario in scenarios() for line in scenario.lines}
    missing = [where for _, _, where in _rows() if where not in lines and not _is_test(where)]
    assert missing == []


def _is_test(where: str) -> bool:
    file, _, name = where.partition("::")
    return name in _tests(file)


@cache
def _tests(file: str) -> set[str]:
    if not (ROOT / file).is_file():
        return set()
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_each_fact_that_was_read_in_dockers_source_has_a_row() -> None:
    there = {(section, fact) for section, fact, _ in _rows()}
    assert [read for read, section, fact in _rows("verified.tsv") if (section, fact) not in there] == []


def test_facts_are_told_once_and_whole() -> None:
    rows = _rows()
    assert all(len(row) == 3 and all(row) for row in rows)
    assert len({(section, fact) for section, fact, _ in rows}) == len(rows)
