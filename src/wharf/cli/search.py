"""search."""

from __future__ import annotations

from wharf.cli.credentials import Credentials, encoded, server_of
from wharf.cli.flags import Command
from wharf.cli.listing import Column, Listing, add_filters, filter_flag, show
from wharf.cli.session import Session
from wharf.cli.table import ellipsis
from wharf.client.api import query

SEARCH = Command(
    "search",
    "[OPTIONS] TERM",
    "Search Docker Hub for images",
    (
        ("filter", "f", "list:filter", "Filter output based on conditions provided"),
        ("format", "", "string", "Pretty-print search using a Go template"),
        ("limit", "", "int", "Max number of search results"),
        ("no-trunc", "", "bool", "Don't truncate output"),
    ),
    operands=(1, 1),
    checks={"filter": filter_flag},
    example="wharf search --filter stars=100 nginx",
)
_HEADERS = {
    "Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}  # fmt: skip
_WIDTH = 45


def search(session: Session, args: list[str]) -> int:
    """Lists what a registry's search finds."""
    flags, (term,) = SEARCH.parse(args)
    filters = add_filters(flags.get("filter", []))
    parameters = query({"term": term, "limit": flags.get("limit"), "filters": filters or None})
    headers = {"X-Registry-Auth": encoded(Credentials(session.config).get(server_of(term)))}
    found = session.client().request("GET", "/images/search" + parameters, headers=headers).json()
    rows = []
    for item in found or []:
        words = " ".join(item.get("description", "").split())
        rows.append(
            {
                "Name": item["name"],
                "Description": words if flags.get("no-trunc") else ellipsis(words, _WIDTH),
                "StarCount": str(item.get("star_count", 0)),
                "IsOfficial": "[OK]" if item.get("is_official") else "",
                "IsAutomated": "[OK]" if item.get("is_automated") else "",
            }
        )
    columns = [Column(name, _HEADERS[name]) for name in ("Name", "Description", "StarCount", "IsOfficial")]
    show(session, Listing(columns, _HEADERS, "Name"), rows, flags.get("format", ""), quiet=False)
    return 0
