"""docs/compatibility.md, made from the routes: `python -m wharf.api.compatibility > docs/compatibility.md`."""

from collections.abc import Sequence
from pathlib import Path

from wharf.api.router import MAX_VERSION, MIN_VERSION, Route, version_text
from wharf.api.routes import ROUTES

HEAD = """# What of Docker's Engine API is there

Made from the routes by `python -m wharf.api.compatibility > docs/compatibility.md`; a test holds it.

API versions {low} to {high} are negotiated. An operation that is not listed is answered 404 `page not found`.
`POST /images/create` pulls (`fromImage`) and imports (`fromSrc=-` or a URL).

| method | path | state |
|---|---|---|
"""


SUITES = """
## Other people's suites

Run against a fresh daemon with stand-ins for public images; what is left out stands in `tests/suites/` with a reason
each. A test that looks before what it started can have happened gets a second attempt.

"""


def document(routes: Sequence[Route] = ROUTES, suites: str = "") -> str:
    """The whole text; `suites` is docs/suites.tsv: columns by tabs, their names first."""
    lines = [HEAD.format(low=version_text(MIN_VERSION), high=version_text(MAX_VERSION))]
    for route in sorted(routes, key=lambda item: (item.pattern, item.method)):
        lines.append(f"| {route.method} | `{route.pattern}` | {route.absent or 'yes'} |\n")
    if suites:
        lines.append(SUITES + _table(suites.removeprefix("# ").splitlines()))
    return "".join(lines)


def _table(lines: Sequence[str]) -> str:
    rows = [line.split("\t") for line in lines]
    rows.insert(1, ["---"] * len(rows[0]))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    figures = Path("docs/suites.tsv")
    print(document(suites=figures.read_text() if figures.exists() else ""), end="")
