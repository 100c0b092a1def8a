"""Streams of JSON lines that tell progress: pull, load, import, bootstrap."""

from __future__ import annotations

from wharf.cli import references
from wharf.cli.session import ExitWith, Session
from wharf.client.api import query
from wharf.client.http import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def texts(session: Session, response: Response) -> Iterator[str]:
    """The lines of a stream as docker words them without a terminal; raises ExitWith for an error line."""
    for item in _checked(session, response):
        if item.get("stream"):
            yield item["stream"].rstrip("\n")
        elif item.get("status") and not (item.get("progressDetail") or {}).get("current"):
            yield f"{item['id']}: {item['status']}" if item.get("id") else item["status"]


def show(session: Session, response: Response) -> None:
    """Prints the lines on standard output."""
    for line in texts(session, response):
        session.line(line)


def bars(session: Session, response: Response, quiet: bool = False) -> None:
    """Shows a stream on standard output: bars on a terminal, lines elsewhere, nothing when `quiet`."""
    import sys

    if not quiet and sys.stdout.isatty():
        from wharf.cli.bars import Bars

        Bars().show(_checked(session, response))
        return
    for line in texts(session, response):
        if not quiet:
            session.line(line)


def _checked(session: Session, response: Response) -> Iterator[dict[str, Any]]:
    for item in session.client().lines(response):
        if "error" in item or "errorDetail" in item:
            raise ExitWith((item.get("errorDetail") or {}).get("message") or item.get("error", ""))
        yield item


def pull(session: Session, image: str, platform: str, quiet: bool) -> None:
    """Pulls an image, its progress on standard error."""
    from wharf.cli.credentials import Credentials

    repository, tag = references.split(image)
    parameters = {"fromImage": references.canonical(repository), "tag": tag or "latest", "platform": platform}
    headers = Credentials(session.config).header(image)
    response = session.client().request("POST", "/images/create" + query(parameters), headers=headers)
    for line in texts(session, response):
        if not quiet:
            session.complain(line)
