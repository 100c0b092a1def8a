"""Streams of JSON lines that tell progress: pull, load, import, bootstrap."""

from __future__ import annotations

from wharf.cli import references
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query
from wharf.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show(session: Session, response: Response, quiet: bool = False, errors: bool = False) -> list[Any]:
    """Prints the lines as docker does without a terminal; the `aux` values. Raises ExitWith for an error line."""
    aux = []
    write = session.complain if errors else session.line
    for item in session.client().lines(response):
        if "error" in item or "errorDetail" in item:
            raise ExitWith((item.get("errorDetail") or {}).get("message") or item.get("error", ""))
        if "aux" in item:
            aux.append(item["aux"])
        if quiet:
            continue
        if item.get("stream"):
            write(item["stream"].rstrip("\n"))
        elif item.get("status") and not (item.get("progressDetail") or {}).get("current"):
            write(f"{item['id']}: {item['status']}" if item.get("id") else item["status"])
    return aux


def pull(session: Session, image: str, platform: str, quiet: bool) -> None:
    """Pulls an image, its progress on standard error."""
    repository, tag = references.split(image)
    parameters = {"fromImage": references.canonical(repository), "tag": tag or "latest", "platform": platform}
    response = session.client().request("POST", "/images/create" + query(parameters))
    show(session, response, quiet=quiet, errors=True)
