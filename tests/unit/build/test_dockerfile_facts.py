"""dockerfile-facts.tsv: each line that is known of Dockerfiles, with the tests that show it in a built image."""

import ast
from functools import cache
from pathlib import Path

import pytest
from tests.conformance.builds.cases import cases, parse
from tests.system.build.refusals import REFUSALS

from wharf.dockerfile.checks import RULES

ROOT = Path(__file__).parents[3]
TABLE = ROOT / "tests/system/build/dockerfile-facts.tsv"
KNOWN = ROOT.parent / "shared/facts/dockerfile.md"
CHECKS = ROOT / "tests/conformance/builds/checks.cases"


def _rows() -> list[list[str]]:
    return [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]


@cache
def _functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_fact_names_tests_that_exist() -> None:
    known = {f"case:{case.name}" for case in cases()} | {f"refused:{refusal.name}" for refusal in REFUSALS}
    known |= {f"check:{case.name}" for case in parse(CHECKS.read_text())}
    missing = []
    for _, tests in _rows():
        for where in tests.split("; "):
            file, _, name = where.partition("::")
            if where not in known and not (name and name in _functions(file)):
                missing.append(where)
    assert missing == []


def test_every_check_has_a_case() -> None:
    assert set(RULES) <= {case.name for case in parse(CHECKS.read_text())}


def test_the_table_has_every_fact() -> None:
    rows = [fact for fact, _ in _rows()]
    assert len(rows) == len(set(rows)) == 127
    if not KNOWN.exists():
        pytest.skip("the list of facts is not here")
    facts = [line[2:].strip() for line in KNOWN.read_text().splitlines() if line.startswith("- ")]
    assert rows == facts
