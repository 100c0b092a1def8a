"""Search a registry for images: the search of the first registry API, which Docker Hub still answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wharf.engine.filters import Filters, check_filters, flag
from wharf.engine.registries import credentials_of
from wharf.errors import Internal, Invalid, WharfError
from wharf.spec.image import load_json
from wharf.spec.reference import Reference
from wharf.spec.registry import RegistryLogin

if TYPE_CHECKING:
    from wharf.engine.engine import Engine

FILTERS = ("is-automated", "is-official", "stars")
DEFAULT_LIMIT = 25
MAX_LIMIT = 100
MAX_TERM = 4096
MAX_ANSWER = 4 << 20
HUB_INDEX = "index.docker.io"


def search_images(
    engine: Engine, term: str, limit: int | None, filters: Filters, login: RegistryLogin
) -> list[dict[str, Any]]:
    """Docker's search results. Raises Invalid for a bad request; Internal when the registry cannot be asked."""
    check_filters(filters, FILTERS)
    term = term.strip()
    if not term:
        raise Invalid("invalid search term: cannot be empty")
    if len(quote(term, safe="")) > MAX_TERM:
        raise Invalid(f"invalid search term: more than {MAX_TERM} characters in a URL")
    limit = limit or DEFAULT_LIMIT
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid(f"limit {limit} is outside the range of [1, {MAX_LIMIT}]")
    host, words = _split(term)
    found = _ask(engine, host, words, limit, login)
    prefix = "" if host == HUB_INDEX else f"{host}/"
    rows = [_row(item, prefix) for item in found if isinstance(item, dict) and isinstance(item.get("name"), str)]
    return [row for row in rows if _passes(row, filters)][:limit]


def _split(term: str) -> tuple[str, str]:
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        Reference.parse(f"{first}/name")  # raises Invalid where no registry can have that name
        return (HUB_INDEX if first in ("docker.io", HUB_INDEX) else first), rest
    return HUB_INDEX, term.removeprefix("library/")


def _ask(engine: Engine, host: str, words: str, limit: int, login: RegistryLogin) -> list[Any]:
    from wharf.registry.client.errors import Refused, for_push  # the HTTP client comes with it

    place = engine.registries.client(engine.config.registries).place(host, credentials_of(login))
    try:
        answer = place.get("GET", f"/v1/search?q={quote(words, safe='')}&n={limit}", "", {"X-Docker-Token": "true"})
        raw = load_json(answer.read(MAX_ANSWER), "search result", MAX_ANSWER)
    except Refused as error:
        if str(error).startswith("unexpected status from "):
            raise Internal(f"Unexpected status code {error.status}") from None
        raise for_push(error) from None
    except WharfError as error:
        raise for_push(error) from None
    results = raw.get("results")
    if not isinstance(results, list):
        raise Internal(f"the answer of {host} to a search is no list of results")
    return results


def _row(item: dict[str, Any], prefix: str) -> dict[str, Any]:
    stars = item.get("star_count")
    return {
        "star_count": stars if isinstance(stars, int) else 0,
        "is_official": bool(item.get("is_official")),
        "name": prefix + str(item["name"]),
        "is_automated": False,
        "description": str(item.get("description") or ""),
    }


def _passes(row: dict[str, Any], filters: Filters) -> bool:
    stars = [text for text in filters.get("stars", ()) if text]
    if not all(text.isascii() and text.isdigit() for text in stars):
        raise Invalid(f"invalid filter 'stars={stars[0]}'")
    if "is-official" in filters and flag(filters, "is-official", False) != row["is_official"]:
        return False
    if "is-automated" in filters and flag(filters, "is-automated", False) != row["is_automated"]:
        return False
    return all(row["star_count"] >= int(text) for text in stars)
