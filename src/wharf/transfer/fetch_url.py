"""A file of the web, as `POST /images/create?fromSrc=URL` wants it: http and https only, also after redirects."""

from __future__ import annotations

import contextlib
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO

from wharf.errors import Internal, Invalid
from wharf.registry.client.errors import reason_of
from wharf.spec.url import host_fault

TIMEOUT = 60.0
"""Seconds of silence."""
MAX_URL = 8192
_SCHEMES = ("http://", "https://")


@contextlib.contextmanager
def open_url(url: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The address as it was asked for (without a scheme: http, as in Docker) and its body, read as it comes.

    Raises Invalid for other schemes, Internal with Docker's words when it cannot be had.
    """
    asked = url if "://" in url else f"http://{url}"
    if not asked.lower().startswith(_SCHEMES) or len(asked) > MAX_URL or any(char <= " " for char in asked):
        raise Invalid(f"invalid source {url[:200]!r}: an http or https URL")
    host = asked.split("/", 3)[2].rpartition("@")[2]
    if not host:
        raise Internal(f'Get "{asked}": http: no Host in request URL')
    if wrong := host_fault(host):
        raise Invalid(f'parse "{asked}": {wrong}')
    opener = urllib.request.OpenerDirector()  # without the handlers of files and ftp
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    try:
        answer = opener.open(_ascii(asked), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        raise Internal(f"got HTTP status code >= 400: {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None)
        raise Internal(
            f'Get "{asked}": {reason_of(reason if isinstance(reason, Exception) else error, asked)}'
        ) from None
    with answer:
        yield asked, answer


def _ascii(url: str) -> str:
    """What is sent for an address: the path's other characters escaped (RFC 3987 3.1), the host's not."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}{slash}{urllib.parse.quote(path, safe=string.punctuation)}"
