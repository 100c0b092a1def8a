"""Lists that come page by page (distribution specification, end-8 and end-12; RFC 8288)."""

import re

MAX_PAGES = 1000
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


def next_page(link: str) -> str:
    """Where the header Link says that the list goes on; "" at its end."""
    found = _NEXT.search(link)
    return found[1] if found else ""
