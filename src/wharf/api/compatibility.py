"""docs/compatibility.md, made from the routes: `python -m wharf.api.compatibility > docs/compatibility.md`."""

from collections.abc import Sequence

from wharf.api.router import MAX_VERSION, MIN_VERSION, Route, version_text
from wharf.api.routes import ROUTES

HEAD = """# What of Docker's Engine API is there

Made from the routes by `python -m wharf.api.compatibility > docs/compatibility.md`; a test holds it.

API versions {low} to {high} are negotiated. An operation that is not listed is answered 404 `page not found`.
`POST /images/create` pulls (`fromImage`) and imports (`fromSrc=-`; from a URL it is answered 501).

| method | path | state |
|---|---|---|
"""


def document(routes: Sequence[Route] = ROUTES) -> str:
    """The whole text."""
    lines = [HEAD.format(low=version_text(MIN_VERSION), high=version_text(MAX_VERSION))]
    for route in sorted(routes, key=lambda item: (item.pattern, item.method)):
        lines.append(f"| {route.method} | `{route.pattern}` | {route.absent or 'yes'} |\n")
    return "".join(lines)


if __name__ == "__main__":
    print(document(), end="")
