"""What registries answer when they refuse, and the words that Docker's clients know for it.

A refusal keeps the code of the specification (`MANIFEST_UNKNOWN`); `for_pull` and the like say it as Docker does.
"""

import errno
import json
import socket
import ssl
from urllib.parse import urlsplit

from wharf.errors import Denied, Internal, NotFound, Unauthorized, WharfError
from wharf.spec.reference import Reference

MAX_WORDS = 2000
_CODES = {401: "UNAUTHORIZED", 403: "DENIED", 404: "", 429: "TOOMANYREQUESTS"}
_PLAIN = {
    "UNAUTHORIZED": "authentication required",
    "DENIED": "requested access to the resource is denied",
    "TOOMANYREQUESTS": "too many requests",
}


class Refused(Internal):
    """A registry's answer of 400 and above; `code` is "" when it gave none, `wait` its Retry-After in seconds."""

    wait: float | None = None

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(f"{code.lower().replace('_', ' ')}: {words}" if code else words)
        self.status = status
        self.code = code


class Unreachable(Internal):
    """No answer, or half of one; `passing`: trying again may help. Docker answers 500."""

    passing = True


class Misbehaves(Internal):
    """An answer that breaks the protocol or a bound; trying again will not help."""


class StillUnauthorized(Unauthorized):
    """A registry refuses the very credentials that it asked for."""


def refused(status: int, body: bytes, url: str) -> Refused:
    """The refusal that an answer is; its first error counts, as with Docker."""
    code, words = _CODES.get(status, ""), ""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        raw = None
    if isinstance(raw, dict):
        listed = raw.get("errors")
        first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
        code = str(first.get("code") or code).upper()[:100]
        words = str(first.get("message") or "")
        for key in ("details", "message", "error"):
            words = words or (str(raw[key]) if isinstance(raw.get(key), str) else "")
    if code == "TOOMANYREQUESTS" and not words:
        words = body.decode("utf-8", "replace").strip()
    if not code and not words:
        words = f"unexpected status from {url}: {status}"
    return Refused(status, code, (words or _PLAIN.get(code) or code.lower().replace("_", " "))[:MAX_WORDS])


_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
"""What OpenSSL calls an answer that is no record of TLS: a registry that speaks plain HTTP."""
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH)


def unreachable(method: str, url: str, error: Exception) -> Unreachable:
    """A failure of the connection, as Go's net/http says it. What follows `?` in an URL may be secret."""
    found = Unreachable(f'{method.capitalize()} "{url.partition("?")[0]}": {reason_of(error, url)}')
    found.passing = not isinstance(error, ssl.SSLCertVerificationError | socket.gaierror | ConnectionRefusedError)
    return found


def reason_of(error: Exception, url: str) -> str:
    """Why an URL cannot be had, in the words of Go's net package."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "dial tcp: address of the host: unexpected ']' in address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "http: server gave HTTP response to HTTPS client"
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"
    if isinstance(error, socket.gaierror | UnicodeError):  # names that no resolver takes among them
        return f"dial tcp: lookup {parts.hostname}: no such host"
    if isinstance(error, ConnectionRefusedError):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return f"dial tcp {parts.hostname}:{port}: connect: connection refused"
    if isinstance(error, TimeoutError):
        return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, ConnectionResetError):
        return "read: connection reset by peer"
    if isinstance(error, OSError) and error.strerror:
        return f"dial tcp: connect: {error.strerror.lower()}" if error.errno in _NO_WAY else error.strerror.lower()
    return str(error) or "EOF"


def for_pull(error: WharfError, reference: Reference) -> WharfError:
    """A refusal of a pull (moby distribution/errors.go)."""
    if not isinstance(error, Refused):
        return error
    if error.code == "DENIED":
        return NotFound(
            f"pull access denied for {reference.familiar_name}, repository does not exist or may require "
            f"'docker login': {error.message}"
        )
    if error.code == "MANIFEST_UNKNOWN" or (error.status == 404 and not error.code):
        words = error.message if error.code else "manifest unknown: manifest unknown"
        return NotFound(f"manifest for {reference.familiar()} not found: {words}")
    if error.code == "NAME_UNKNOWN":
        return NotFound(f"repository {reference.familiar_name} not found: {error.message}")
    return for_push(error)


def for_push(error: WharfError) -> WharfError:
    """A refusal of anything else."""
    if isinstance(error, Refused) and error.code == "UNAUTHORIZED":
        return Unauthorized(error.message)
    if isinstance(error, Refused) and error.code == "DENIED":
        return Denied(error.message)
    return error
