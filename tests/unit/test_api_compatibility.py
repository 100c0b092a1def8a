"""The list of what is there is what the router has."""

from pathlib import Path

from wharf.api.compatibility import document

LIST = Path(__file__).parents[2] / "docs" / "compatibility.md"


def test_the_list_is_made_from_the_routes() -> None:
    assert LIST.read_text() == document(), "run: python -m wharf.api.compatibility > docs/compatibility.md"
