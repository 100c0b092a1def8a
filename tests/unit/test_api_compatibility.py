"""The list of what is there is what the router has."""

from pathlib import Path

from wharf.api.compatibility import document

LIST = Path(__file__).parents[2] / "docs" / "compatibility.md"


def test_the_list_is_made_from_the_routes() -> None:
    suites = LIST.with_name("suites.tsv").read_text()
    assert LIST.read_text() == document(suites=suites), "run: python -m wharf.api.compatibility > docs/compatibility.md"
