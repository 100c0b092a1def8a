"""musts.tsv: what the OCI runtime specification demands of a runtime on Linux, each with the test that shows it."""

import ast
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "system" / "oci"


def _rows() -> list[list[str]]:
    return [line.split("\t") for line in (FOLDER / "musts.tsv").read_text().splitlines()[1:]]


@cache
def _tests(file: str) -> set[str]:
    tree = ast.parse((FOLDER / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_names_a_test_that_exists() -> None:
    for number, _section, _must, test in _rows():
        file, _, name = test.partition("::")
        assert name in _tests(file), f"{number}: {test}"


def test_numbers_are_unique_and_rows_complete() -> None:
    rows = _rows()
    assert len({row[0] for row in rows}) == len(rows)
    assert all(len(row) == 4 and all(row) for row in rows)
