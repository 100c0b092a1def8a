"""Lists in pages: `n` and `last`, and the Link header that leads on (distribution specification, listing tags)."""

from urllib.parse import urlencode

from wharf.registry.server.errors import RegistryError
from wharf.registry.server.http import Request

MAX_PAGE = 1000
"""Entries of one answer, whatever `n` says."""


def page_of(request: Request) -> tuple[int, str]:
    """How many entries, after which; raises RegistryError (PAGINATION_NUMBER_INVALID)."""
    text = request.text("n")
    if not text:
        return MAX_PAGE, request.text("last")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise RegistryError("PAGINATION_NUMBER_INVALID", detail={"n": text[:50]})
    return min(int(text), MAX_PAGE), request.text("last")


def link(path: str, last: str, most: int, **more: str) -> dict[str, str]:
    """The header that points at the next page."""
    query = urlencode({**more, "last": last, "n": str(most)})
    return {"Link": f'<{path}?{query}>; rel="next"'}
