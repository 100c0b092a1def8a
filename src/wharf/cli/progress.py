"""Streams of JSON lines that tell progress: pull, load, import, bootstrap."""

from __future__ import annotations

from wharf.cli import references
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query
from wharf.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def texts(session: Session, response: Response) -> Iterator[str]:
    """The lines of a stream as docker words them without a terminal; raises ExitWith for an error line."""
    for item in session.client().lines(response):
        if "error" in item or "errorDetail" in item:
            raise ExitWith((item.get("errorDetail") or {}).get("message") or item.get("error", ""))
        if item.get("stream"):
            yield item["stream"].rstrip("\n")
        elif item.get("status") and not (item.get("progressDetail") or {}).get("current"):
            yield f"{item['id']}: {item['status']}" if item.get("id") else item["status"]


def show(session: Session, response: Response) -> None:
    """Prints the lines on standard output."""
    for line in texts(session, response):
        session.line(line)


def pull(session: Session, image: str, platform: str, quiet: bool) -> None:
    """Pulls an image, its progress on standard error."""
    repository, tag = references.split(image)
    parameters = {"fromImage": references.canonical(repository), "tag": tag or "latest", "platform": platform}
    response = session.client().request("POST", "/images/create" + query(parameters))
    for line in texts(session, response):
        if not quiet:
            session.complain(line)
